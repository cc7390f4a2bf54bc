// A button that opens a short list of things to do.

import { h, svg } from "./dom.js";

let open = null; // one at a time in the whole page

/**
 * A menu. `label`: what a screen reader says of the button. `items()` is asked each time it opens:
 * [{words, act, danger?} or {words, href}], null for what does not fit now.
 */
export function menuButton(label, items) {
  const list = h("div", { class: "menu-items", hidden: true });
  const button = h(
    "button",
    { type: "button", class: "icon plain", "aria-label": label, "aria-expanded": "false", onclick: () => toggle(menu) },
    svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, ...[5, 12, 19].map((x) => svg("circle", { cx: x, cy: 12, r: 1.2 }))),
  );
  const box = h("div", { class: "menu", onkeydown: (event) => move(menu, event) }, button, list);
  box.addEventListener("focusout", (event) => {
    if (open === menu && event.relatedTarget && !box.contains(event.relatedTarget)) close(menu);
  });
  const menu = { box, button, list, items };
  return box;
}

function toggle(menu) {
  if (open === menu) return close(menu);
  if (open) close(open);
  menu.list.replaceChildren(...menu.items().filter(Boolean).map((item) => itemElement(menu, item)));
  menu.list.hidden = false;
  menu.button.setAttribute("aria-expanded", "true");
  open = menu;
  menu.list.firstElementChild?.focus();
}

function close(menu) {
  menu.list.hidden = true;
  menu.button.setAttribute("aria-expanded", "false");
  open = null;
}

function itemElement(menu, { words, act, href, danger }) {
  if (href) return h("a", { href, onclick: () => close(menu) }, words);
  const chosen = () => {
    close(menu);
    menu.button.focus();
    act();
  };
  return h("button", { type: "button", class: danger ? "danger" : null, onclick: chosen }, words);
}

function move(menu, event) {
  if (open !== menu) return;
  if (event.key === "Escape") {
    event.stopPropagation();
    close(menu);
    return menu.button.focus();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = [...menu.list.children];
  const at = all.indexOf(document.activeElement);
  all[(at + step + all.length) % all.length]?.focus();
}

document.addEventListener("pointerdown", (event) => open && !open.box.contains(event.target) && close(open));
