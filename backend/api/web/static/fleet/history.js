// How the queue stood over the last hours: lines for what waits, what is in work and who works, bars for what was done.

import { h, setText, svg } from "../core/dom.js";
import { drawn, SERIES } from "./chart.js";

const HOURS = [1, 6, 24, 48];
const DONE = "Chunks completed";

export class HistoryChart {
  hours = 24;
  #history = [];
  #box = h("div", { class: "chart" });
  #said = h("p", { class: "visually-hidden" });
  #empty = h("p", { class: "empty" }, "Nothing is written down yet. An analysis worker does it once a minute while it runs.");
  #rows = h("tbody", {});

  constructor(changed) {
    const choose = h("select", { id: "history-hours", onchange: () => ((this.hours = Number(choose.value)), changed()) },
      HOURS.map((hours) => h("option", { value: hours, selected: hours === this.hours }, hours === 1 ? "last hour" : `last ${hours} hours`)));
    this.details = h("details", { ontoggle: () => this.#fillTable() }, h("summary", {}, "As a table"),
      h("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": "History as a table" }, h("table", { class: "table" },
        h("thead", {}, h("tr", {}, ["Time", ...SERIES.map((each) => each.words), DONE].map((words, i) => h("th", { scope: "col", class: i ? "number" : null }, words)))), this.#rows)));
    this.element = h("section", { class: "fleet-part" },
      h("div", { class: "toolbar" }, h("h2", { class: "grow" }, "History"), h("label", { for: "history-hours", class: "visually-hidden" }, "How far back"), choose),
      legend(), this.#box, this.#said, this.#empty, this.details);
    this.observer = new ResizeObserver(() => this.#draw());
    this.observer.observe(this.#box);
  }

  show(history) {
    this.#history = history.map((point) => ({ ...point, ms: Date.parse(point.at) }));
    this.#empty.hidden = history.length > 0;
    this.#box.hidden = this.details.hidden = history.length === 0;
    setText(this.#said, summary(this.#history));
    this.#draw();
    this.#fillTable();
  }

  #draw() {
    if (this.#history.length && this.#box.clientWidth) this.#box.replaceChildren(drawn(this.#history, this.#box.clientWidth, this.hours));
  }

  #fillTable() {
    if (!this.details.open) return;
    const format = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });
    this.#rows.replaceChildren(...[...this.#history].reverse().map((point) => h("tr", {}, h("td", {}, format.format(point.ms)),
      [...SERIES.map(({ name }) => point[name]), point.completed_chunks].map((value) => h("td", { class: "number" }, String(value))))));
  }

  destroy() {
    this.observer.disconnect();
  }
}

function legend() {
  const sample = (name) => svg("svg", { class: "sample", viewBox: "0 0 28 10", width: 28, height: 10, "aria-hidden": "true" },
    name === "done" ? svg("rect", { class: "bar", x: 8, y: 1, width: 12, height: 8 }) : svg("path", { class: `line ${name}`, d: "M1 5H27" }));
  const items = [...SERIES, { name: "done", words: DONE }];
  return h("ul", { class: "legend", "aria-hidden": "true" }, items.map(({ name, words }) => h("li", {}, sample(name), words)));
}

/** What a person who does not see the drawing hears; the table has it all. */
function summary(history) {
  const last = history.at(-1);
  if (!last) return "";
  const most = (name) => Math.max(...history.map((point) => point[name]));
  const lines = SERIES.map(({ name, words }) => `${words}: ${last[name]} now, ${most(name)} at most.`);
  const done = history.reduce((sum, point) => sum + point.completed_chunks, 0);
  return `${lines.join(" ")} ${DONE} in this time: ${done}.`;
}
