// What waits and what is in work, by lane.

import { h, keyed, setText } from "../core/dom.js";
import { duration } from "../core/words.js";
import { cell, row, table } from "./table.js";

const MODES = { gpu: "Chunk workers", cpu: "Analysis workers" };

export class Lanes {
  #body = h("tbody", { role: "rowgroup" });
  #empty = h("p", { class: "empty" }, "Nothing waits and nothing is in work.");

  constructor() {
    this.table = table("Lanes", ["Lane", "Waiting", "In work", "On hold", "Waits longest"], this.#body);
    this.table.hidden = true;
    const words = "A lane is one tenant's chunks for one sort of worker. Chunks on hold belong to paused jobs, or to jobs whose source cannot be read.";
    this.element = h("section", { class: "fleet-part" }, h("h2", {}, "Queue"), h("p", { class: "quiet" }, words), this.table, this.#empty);
  }

  show(lanes) {
    keyed(this.#body, lanes, (lane) => `${lane.deep_mode} ${lane.tenant}`, make, update);
    this.table.hidden = lanes.length === 0;
    this.#empty.hidden = lanes.length > 0;
  }
}

function make(lane) {
  const parts = Object.fromEntries(["queued", "processing", "held", "oldest"].map((name) => [name, h("span", {})]));
  const made = row(
    cell("Lane", h("strong", { class: "name", dir: "auto" }, lane.tenant), h("span", { class: "quiet" }, MODES[lane.deep_mode] ?? lane.deep_mode)),
    cell("Waiting", parts.queued),
    cell("In work", parts.processing),
    cell("On hold", parts.held),
    cell("Waits longest", parts.oldest),
  );
  made.parts = parts;
  return made;
}

function update({ parts }, lane) {
  setText(parts.queued, String(lane.queued));
  setText(parts.processing, String(lane.processing));
  setText(parts.held, String(lane.on_hold));
  setText(parts.oldest, lane.oldest_queued_seconds ? duration(lane.oldest_queued_seconds) : "–");
}
