// The chunks of a job as a strip, phase by phase: a cell each, whose state is a colour, a pattern and a word.

import { h, keyed, setText } from "../core/dom.js";
import { clock, duration } from "../core/words.js";

const MOST_CELLS = 120; // more chunks than that share cells
const STATES = {
  queued: "waiting", processing: "in work", completed: "done", failed: "failed", cancelled: "stopped",
};
const WORST_FIRST = ["failed", "processing", "queued", "cancelled", "completed"];
const PHASES = { detect: "Find people", render: "Write the film", pose: "Find poses" };

/** `onPick(chunk)`: a finished chunk was chosen, to be looked at. */
export class Strip {
  constructor(onPick) {
    this.#onPick = onPick;
    this.#rows = h("div", { class: "strip-rows" });
    this.#about = h("p", { class: "strip-about quiet", "aria-live": "polite" });
    this.element = h("section", { class: "strip", "aria-label": "Parts", hidden: true }, this.#rows, this.#about);
  }

  #onPick;
  #rows;
  #about;
  #picked = "";

  paint(chunks) {
    this.element.hidden = chunks.length === 0;
    const phases = [...new Set(chunks.map((chunk) => chunk.phase))].map((phase) => ({
      phase, cells: cellsOf(chunks.filter((chunk) => chunk.phase === phase)),
    }));
    keyed(this.#rows, phases, ({ phase }) => phase, makeRow, (row, { phase, cells }) => this.#paintRow(row, phase, cells));
  }

  #paintRow(row, phase, cells) {
    const done = cells.flatMap(({ chunks }) => chunks).filter((chunk) => chunk.status === "completed").length;
    const all = cells.flatMap(({ chunks }) => chunks).length;
    setText(row.querySelector(".phase"), `${PHASES[phase] ?? phase.replaceAll("_", " ")} · ${done} of ${all}`);
    keyed(row.querySelector(".cells"), cells, ({ key }) => key, () => this.#makeCell(), (cell, item) => this.#paintCell(cell, item));
    const { children } = row.querySelector(".cells");
    if (children.length && ![...children].some((cell) => cell.tabIndex === 0)) children[0].tabIndex = 0;
  }

  #makeCell() {
    const cell = h("button", { type: "button", class: "cell", tabindex: -1 });
    const tell = () => setText(this.#about, aboutCell(cell.item));
    cell.addEventListener("focus", () => {
      for (const each of cell.parentElement.children) each.tabIndex = each === cell ? 0 : -1;
      tell();
    });
    cell.addEventListener("keydown", moveFocus);
    cell.addEventListener("pointerenter", tell);
    cell.addEventListener("click", () => {
      tell();
      const done = cell.item.chunks.find((chunk) => chunk.links?.preview);
      if (!done) return;
      this.#picked = cell.item.key;
      for (const each of this.#rows.querySelectorAll(".cell")) each.classList.toggle("picked", each === cell);
      this.#onPick(done);
    });
    return cell;
  }

  #paintCell(cell, item) {
    cell.item = item;
    cell.className = `cell ${item.state}${item.key === this.#picked ? " picked" : ""}`;
    cell.setAttribute("aria-label", aboutCell(item));
    cell.style.flexGrow = item.seconds;
  }
}

function makeRow() {
  return h("div", { class: "strip-row" }, h("p", { class: "phase" }), h("div", { class: "cells", role: "group", "aria-label": "Parts, in order" }));
}

/** A row is one stop of the Tab key; arrows, Home and End go along it. */
function moveFocus(event) {
  const { currentTarget: cell, key } = event;
  const to = {
    ArrowLeft: cell.previousElementSibling, ArrowRight: cell.nextElementSibling,
    Home: cell.parentElement.firstElementChild, End: cell.parentElement.lastElementChild,
  };
  if (!(key in to)) return;
  event.preventDefault();
  event.stopPropagation(); // the player has these keys too
  to[key]?.focus();
}

/** Neighbours in one cell where there are very many; its state is that of the worst. */
function cellsOf(chunks) {
  const size = Math.ceil(chunks.length / MOST_CELLS);
  return Array.from({ length: Math.ceil(chunks.length / size) }, (_, at) => {
    const some = chunks.slice(at * size, (at + 1) * size);
    const [first, last] = [some[0], some[some.length - 1]];
    return {
      key: `${first.phase}-${at}`,
      chunks: some,
      state: WORST_FIRST.find((state) => some.some((chunk) => chunk.status === state)) ?? first.status,
      seconds: last.end_sec - first.start_sec,
    };
  });
}

function aboutCell({ chunks, state }) {
  const [first, last] = [chunks[0], chunks[chunks.length - 1]];
  const where = `${clock(first.start_sec)} to ${clock(last.end_sec)}`;
  if (chunks.length > 1) return `Parts ${first.chunk_index + 1} to ${last.chunk_index + 1}, ${where}: ${STATES[state] ?? state}`;
  const said = [`Part ${first.chunk_index + 1}, ${where}: ${STATES[state] ?? state}`];
  if (first.runtime_ms !== null && state === "completed") said.push(`in ${duration(first.runtime_ms / 1000)}`);
  if (first.claimed_by && state !== "queued") said.push(`by ${first.claimed_by}`);
  if (first.attempts > 1) said.push(`${first.attempts} attempts`);
  if (first.error_message && state !== "completed") said.push(first.error_message);
  return said.join(" · ");
}
