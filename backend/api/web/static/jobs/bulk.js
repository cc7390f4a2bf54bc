// Which jobs are picked, and what is done with them together.

import { h, setText } from "../core/dom.js";
import { canCancel, canRetry, canRunAgain, canWatch } from "./actions.js";

const ACTS = [
  { name: "cancel", words: "Cancel", can: canCancel },
  { name: "retry", words: "Retry", can: canRetry },
  { name: "runAgain", words: "Run again", can: canRunAgain },
  { name: "watch", words: "Tell me when done", can: canWatch },
];

export class BulkBar {
  #picked = new Set();
  #last = null; // id of the one picked last, where a range begins
  #jobs = [];
  #onChange;

  constructor(acts, onChange) {
    this.#onChange = onChange;
    this.said = h("strong", { role: "status" });
    this.buttons = ACTS.map(({ name }) => h("button", { type: "button", class: "small", onclick: () => this.#act(name, acts) }));
    const none = h("button", { type: "button", class: "small plain", onclick: () => this.pickAll(this.#jobs, false) }, "Pick none");
    this.element = h("div", { class: "toolbar bulk", role: "group", "aria-label": "Picked jobs", hidden: true }, this.said, this.buttons, none);
  }

  isPicked(id) {
    return this.#picked.has(id);
  }

  /** A click on a row's box; with shift, all from the one before to this one. */
  pick(job, event, jobs) {
    const ids = jobs.map((each) => each.id);
    const [from, to] = [ids.indexOf(this.#last), ids.indexOf(job.id)].sort((a, b) => a - b);
    const range = event.shiftKey && from >= 0 ? ids.slice(from, to + 1) : [job.id];
    for (const id of range) event.target.checked ? this.#picked.add(id) : this.#picked.delete(id);
    this.#last = job.id;
    this.#onChange();
  }

  pickAll(jobs, wanted) {
    this.#picked = new Set(wanted ? jobs.map((job) => job.id) : []);
    this.#onChange();
  }

  /** Drops what is not shown any more: nothing is done with what nobody sees. */
  keep(jobs) {
    const there = new Set(jobs.map((job) => job.id));
    for (const id of this.#picked) if (!there.has(id)) this.#picked.delete(id);
  }

  paint(jobs) {
    this.#jobs = jobs.filter((job) => this.#picked.has(job.id));
    this.element.hidden = this.#jobs.length === 0;
    setText(this.said, this.#jobs.length ? `${this.#jobs.length} picked` : "");
    ACTS.forEach(({ words, can }, index) => {
      const count = this.#jobs.filter(can).length;
      this.buttons[index].hidden = count === 0;
      setText(this.buttons[index], count === this.#jobs.length ? words : `${words} (${count})`);
    });
  }

  #act(name, acts) {
    const { can } = ACTS.find((each) => each.name === name);
    const jobs = this.#jobs.filter(can);
    this.pickAll([], false);
    acts[name](jobs);
  }
}
