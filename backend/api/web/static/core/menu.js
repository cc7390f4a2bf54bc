// A button that opens a short list of things to do. The list is a popover: nothing that it lies in cuts it off.

import { h, svg } from "./dom.js";

const GAP_PX = 4;

/**
 * A menu. `label`: what a screen reader says of the button. `items()` is asked each time it opens:
 * [{words, act, danger?} or {words, href}], null for what does not fit now.
 */
export function menuButton(label, items) {
  const list = h("div", { class: "menu-items", popover: "auto" });
  const button = h("button", { type: "button", class: "icon plain", "aria-label": label },
    svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, ...[5, 12, 19].map((x) => svg("circle", { cx: x, cy: 12, r: 1.2 }))));
  button.popoverTargetElement = list; // says aria-expanded, and closes what is open
  const close = () => list.hidePopover();
  list.addEventListener("beforetoggle", ({ newState }) => {
    if (newState === "open") list.replaceChildren(...items().filter(Boolean).map((item) => itemElement(item, close)));
  });
  list.addEventListener("toggle", ({ newState }) => {
    if (newState !== "open") return window.removeEventListener("scroll", close);
    place(list, button);
    if (!list.contains(document.activeElement)) list.firstElementChild?.focus(); // this comes late: who is faster stays where they are
    window.addEventListener("scroll", close, { once: true, passive: true });
  });
  list.addEventListener("keydown", (event) => move(list, event));
  return h("div", { class: "menu" }, button, list);
}

function itemElement({ words, act, href, danger }, close) {
  if (href) return h("a", { href, onclick: close }, words);
  return h("button", { type: "button", class: danger ? "danger" : null, onclick: () => (close(), act()) }, words);
}

/** Beneath the button, or above it where there is no room; within the window. */
function place(list, button) {
  const { left, right, top, bottom } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = list;
  const isLeftToRight = getComputedStyle(button).direction === "ltr";
  const x = isLeftToRight ? right - width : left;
  const y = bottom + GAP_PX + height <= innerHeight ? bottom + GAP_PX : top - GAP_PX - height;
  list.style.left = `${Math.max(GAP_PX, Math.min(x, innerWidth - width - GAP_PX))}px`;
  list.style.top = `${Math.max(GAP_PX, y)}px`;
}

function move(list, event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = [...list.children];
  all[(all.indexOf(document.activeElement) + step + all.length) % all.length]?.focus();
}
