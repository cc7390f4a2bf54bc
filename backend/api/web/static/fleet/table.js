// Tables that are cards on a phone. Roles are said: a table that is laid out as blocks is none to a screen reader.

import { h } from "../core/dom.js";

export function table(label, headings, body) {
  const cells = headings.map((words) => h("th", { role: "columnheader", scope: "col" }, words));
  const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, cells));
  return h("table", { role: "table", class: "table fleet-table", "aria-label": label }, head, body);
}

export const row = (...cells) => h("tr", { role: "row" }, cells);

/** `label` stands beside it where there is no head. */
export const cell = (label, ...content) => h("td", { role: "cell" }, h("span", { class: "label", "aria-hidden": "true" }, label), h("div", {}, content));
