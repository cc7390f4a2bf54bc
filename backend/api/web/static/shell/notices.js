// Lines that come and go, beside nothing in particular.

import { byId, h } from "../core/dom.js";

const NOTICE_MS = 8000;

/**
 * Says a line that goes by itself; while the pointer or the focus is in it, it `stays`. `undo`: a button that calls it;
 * `href` and `link`: a link and its words. Returns {close}.
 */
export function notice(words, { undo = null, href = null, link = "Open", ms = NOTICE_MS, stays = true } = {}) {
  const line = h("div", { class: "notice" }, h("span", { dir: "auto" }, words));
  if (href) line.append(h("a", { href, onclick: () => line.remove() }, link));
  if (undo) line.append(h("button", { type: "button", class: "plain", onclick: () => (line.remove(), undo()) }, "Undo"));
  const leave = () => (stays && line.matches(":hover, :focus-within") ? setTimeout(leave, 1000) : line.remove());
  setTimeout(leave, ms);
  byId("notices").append(line);
  return { close: () => line.remove() };
}
