// One PUT with progress, which fetch() does not tell.

/** {done, abort}: a promise of {status, answer, aborted}; status 0 where no answer came. */
export function put(url, headers, body, onProgress) {
  const xhr = new XMLHttpRequest();
  const done = new Promise((resolve) => {
    xhr.upload.onprogress = (event) => onProgress(event.loaded);
    xhr.onload = () => resolve({ status: xhr.status, answer: parsed(xhr.responseText) });
    xhr.onerror = xhr.ontimeout = () => resolve({ status: 0, answer: null });
    xhr.onabort = () => resolve({ status: 0, answer: null, aborted: true });
  });
  xhr.open("PUT", url);
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase() !== "content-length") xhr.setRequestHeader(name, value); // the browser's own
  }
  xhr.send(body);
  return { done, abort: () => xhr.abort() };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
