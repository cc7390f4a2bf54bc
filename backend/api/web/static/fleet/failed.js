// Chunks that failed for good, job by job, with a button to try again.

import { fillAlert, h, keyed, setText } from "../core/dom.js";
import { retryJob } from "../core/api.js";
import { advice } from "../core/advice.js";
import { ago } from "../core/words.js";

const SHOWN_CHUNKS = 5;

export class FailedJobs {
  #jobs = [];
  #list = h("ul", { class: "failed-jobs" });
  #empty = h("p", { class: "empty" }, "No chunk has failed for good within a week.");

  constructor(app, changed) {
    this.app = app;
    this.changed = changed;
    this.element = h("section", { class: "fleet-part" }, h("h2", { tabindex: -1 }, "Failed chunks"),
      h("p", { class: "quiet" }, "Of jobs that failed within a week. What is completed stays; only the rest is tried again."), this.#list, this.#empty);
  }

  show(chunks) {
    const jobs = new Map();
    for (const chunk of chunks) jobs.set(chunk.job_id, [...(jobs.get(chunk.job_id) ?? []), chunk]);
    this.#jobs = [...jobs].map(([id, failed]) => ({ id, failed }));
    this.paint();
  }

  paint() {
    const hadFocus = this.#list.contains(document.activeElement);
    keyed(this.#list, this.#jobs, (job) => job.id, (job) => this.#make(job), update);
    if (hadFocus && !this.#list.contains(document.activeElement)) this.element.querySelector("h2").focus();
    this.#empty.hidden = this.#jobs.length > 0;
  }

  #make({ id, failed: [first] }) {
    const name = first.job_name ?? `Job ${id.slice(0, 8)} of ${first.tenant}`;
    const alert = h("div", { class: "alert", role: "alert", hidden: true });
    const retry = h("button", { type: "button", class: "small", "aria-label": `Retry ${name}`, onclick: () => this.#retry(id, name, retry, alert) }, "Retry");
    const chunks = h("ul", {});
    const title = first.job_name ? h("a", { class: "name", dir: "auto", href: `#/jobs/${id}` }, name) : h("span", { class: "name", dir: "auto" }, name);
    const made = h("li", { class: "failed-job" }, h("div", { class: "toolbar" }, h("div", { class: "grow" }, title),
      first.retryable ? retry : h("span", { class: "quiet" }, "Only its tenant can retry it")), chunks, alert);
    made.chunks = chunks;
    return made;
  }

  async #retry(id, name, button, alert) {
    button.disabled = true;
    alert.hidden = true;
    try {
      await retryJob(id);
      this.app.notice(`${name} is tried again.`, { href: `#/jobs/${id}`, link: "See it" });
      this.changed();
    } catch (problem) {
      fillAlert(alert, problem.message, problem.code);
    } finally {
      button.disabled = false;
    }
  }
}

function update({ chunks }, { failed }) {
  const shown = failed.slice(0, SHOWN_CHUNKS);
  const rest = failed.length - shown.length;
  const lines = rest ? [...shown, { rest }] : shown;
  keyed(chunks, lines, (chunk) => (chunk.rest ? "rest" : `${chunk.phase} ${chunk.chunk_index}`), makeChunk, paintChunk);
}

function makeChunk() {
  const parts = { what: h("strong", {}), message: h("span", { class: "name", dir: "auto" }), help: h("span", { class: "quiet" }), who: h("span", { class: "quiet name", dir: "auto" }) };
  const made = h("li", {}, parts.what, parts.message, parts.help, parts.who);
  made.parts = parts;
  return made;
}

function paintChunk({ parts }, chunk) {
  if (chunk.rest) return setText(parts.what, `and ${chunk.rest} more`);
  setText(parts.what, `Chunk ${chunk.chunk_index + 1} (${chunk.phase})`);
  setText(parts.message, chunk.error_message ?? chunk.error_code ?? "It failed.");
  setText(parts.help, advice(chunk.error_code, true));
  const tries = `${chunk.attempts} ${chunk.attempts === 1 ? "try" : "tries"}`;
  setText(parts.who, [chunk.failed_by && `on ${chunk.failed_by}`, tries, chunk.completed_at && ago(chunk.completed_at)].filter(Boolean).join(", "));
  return undefined;
}
