// The tab's icon says how far things are: a bar beneath the mark, or how it ended.

const LINK = document.querySelector('link[rel="icon"]');
const PLAIN = LINK.getAttribute("href");
const MARK =
  '<rect width="32" height="32" rx="8" fill="#0f766e"/>' +
  '<rect x="13" y="4" width="9.5" height="17" rx="2.2" fill="none" stroke="#fff" stroke-width="2"/>';
const ENDS = {
  done: '<circle cx="22" cy="22" r="10" fill="#fff"/><path d="M17 22l4 4 7-8" fill="none" stroke="#0f766e" stroke-width="3.4"/>',
  failed: '<circle cx="22" cy="22" r="10" fill="#b3261e"/><path d="M22 16v7m0 3.4v.2" fill="none" stroke="#fff" stroke-width="3.4"/>',
};

/** `state`: percent, "done" or "failed"; with anything else the icon is as it was. */
export function showInIcon(state) {
  const shapes = Number.isFinite(state) ? bar(state) : ENDS[state];
  const href = shapes ? drawn(shapes) : PLAIN;
  if (LINK.getAttribute("href") !== href) LINK.setAttribute("href", href);
}

function bar(percent) {
  const width = Math.round((26 * Math.min(100, Math.max(0, percent))) / 100);
  return `<rect x="3" y="24" width="26" height="5" rx="2" fill="#0b3f3b"/><rect x="3" y="24" width="${width}" height="5" rx="2" fill="#fff"/>`;
}

function drawn(shapes) {
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${MARK}${shapes}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(picture)}`;
}
