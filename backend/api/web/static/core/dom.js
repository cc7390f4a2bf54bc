// Small helpers. Strings go in as text, never as markup: file names are strangers' words.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/**
 * An element. `props`: `class`, `on…` (a listener), `dataset` ({name: value}), booleans (set or left out), else
 * attributes; null and undefined are left out. Children: elements and texts, nested arrays too; null and false are left out.
 */
export function h(tag, props = {}, ...children) {
  return built(document.createElement(tag), props, children);
}

/** The same in SVG. */
export function svg(tag, props = {}, ...children) {
  return built(document.createElementNS(SVG, tag), props, children);
}

function built(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Written only when it changes: a screen reader would say it anew. */
export function setText(element, content) {
  if (element.textContent !== content) element.textContent = content;
}

/** Shows a sentence in the box, with the error's code small beneath it. */
export function fillAlert(box, message, code = "") {
  box.replaceChildren(h("p", {}, message));
  if (code) box.append(h("code", {}, code));
  box.hidden = false;
}

/**
 * Makes the children of `list` those of `items`, keyed: what stays keeps its element, and so its focus and its state.
 * `make(item)` builds one, `update(element, item)` refreshes it.
 */
export function keyed(list, items, keyOf, make, update) {
  const there = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let place = list.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = there.get(key);
    if (element) there.delete(key);
    else {
      element = make(item);
      element.dataset.key = key;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  for (const gone of there.values()) gone.remove();
}
