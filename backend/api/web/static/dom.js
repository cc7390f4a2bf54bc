// Small helpers. Strings go in as text, never as markup: file names are strangers' words.

export const byId = (id) => document.getElementById(id);

export function textElement(tag, content, className = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}

/** Shows a sentence in the box, with the error's code small beneath it. */
export function fillAlert(box, message, code = "") {
  box.replaceChildren(textElement("p", message));
  if (code) box.append(textElement("code", code));
  box.hidden = false;
}
