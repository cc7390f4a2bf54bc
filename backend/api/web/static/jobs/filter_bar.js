// Chips with counts, the search and the filters. Chips are links: they can be opened in another tab, and back goes back.

import { h, setText } from "../core/dom.js";
import { KINDS, SINCE, STATES, countOf } from "./filter.js";

const TYPED_MS = 300;
const DEFAULTS = { status: "", q: "", kind: "", since: "" };

export class FilterBar {
  #filter;
  #timer = 0;
  #onChange;

  /** `onChange(filter, address)`; `address(app, filter)` writes it where it belongs. */
  constructor(filter, onChange) {
    this.#onChange = onChange;
    this.chips = Object.entries(STATES).map(([state, { words }]) => h("a", { class: "chip", dataset: { state } }, h("span", {}, words), h("b", {})));
    this.q = h("input", { type: "search", "aria-label": "Search by name or id", placeholder: "Search by name or id", maxlength: 200, oninput: () => this.#typed() });
    this.kind = picker("Kind", KINDS, () => this.#changed());
    this.since = picker("Added", Object.fromEntries(Object.entries(SINCE).map(([name, { words }]) => [name, words])), () => this.#changed());
    this.element = h("div", { class: "filters" },
      h("nav", { class: "chips", "aria-label": "Jobs by state" }, this.chips),
      h("form", { class: "toolbar", role: "search", onsubmit: (event) => (event.preventDefault(), this.#changed()) }, h("div", { class: "grow" }, this.q), this.kind, this.since));
    this.show(filter);
  }

  get isFiltered() {
    return Object.values(this.#filter).some(Boolean);
  }

  /** As the address has it. */
  show(filter) {
    this.#filter = filter;
    if (this.q.value !== filter.q) this.q.value = filter.q;
    this.kind.value = filter.kind;
    this.since.value = filter.since;
    for (const chip of this.chips) {
      chip.href = addressOf({ ...filter, status: chip.dataset.state });
      if (chip.dataset.state === filter.status) chip.setAttribute("aria-current", "true");
      else chip.removeAttribute("aria-current");
    }
  }

  paint(counts, total) {
    for (const chip of this.chips) setText(chip.querySelector("b"), String(countOf(chip.dataset.state, counts, total) ?? ""));
  }

  /** How many are under way. */
  live(counts) {
    return countOf("working", counts, 0) ?? 0;
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#changed(), TYPED_MS);
  }

  #changed() {
    clearTimeout(this.#timer);
    const filter = { ...this.#filter, q: this.q.value.trim(), kind: this.kind.value, since: this.since.value };
    if (JSON.stringify(filter) === JSON.stringify(this.#filter)) return;
    const typed = this.q.value;
    this.show(filter);
    this.q.value = typed; // a space at its end may be followed by a word
    this.#onChange(filter, (app) => app.setQuery(filter));
  }
}

function picker(words, choices, onchange) {
  return h("select", { "aria-label": words, onchange }, Object.entries(choices).map(([value, said]) => h("option", { value }, said)));
}

function addressOf(filter) {
  const given = Object.entries({ ...DEFAULTS, ...filter }).filter(([, text]) => text);
  return given.length ? `#/jobs?${new URLSearchParams(given)}` : "#/jobs";
}
