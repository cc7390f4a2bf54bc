// The workers, a row each; cards on a phone.

import { h, keyed, setText } from "../core/dom.js";
import { ago, duration } from "../core/words.js";
import { cell, row, table } from "./table.js";

const KINDS = { gpu_chunk_worker: "Chunk worker", analysis_worker: "Analysis worker", janitor: "Janitor" };
const STATES = {
  working: ["At work", "done"],
  idle: ["Idle", ""],
  draining: ["About to stop", "active"],
  unwell: ["In trouble", "failed"],
  silent: ["Not heard of", "failed"],
};
const HARDWARE = /^nvdec$|_cuvid$/;

export class Workers {
  #workers = [];
  #body = h("tbody", { role: "rowgroup" });
  #empty = h("p", { class: "empty", hidden: true }, "No worker has said anything within a day. Start one: ", h("code", {}, "framefleet worker"), ".");

  constructor() {
    this.table = table("Workers", ["Worker", "Machine", "State", "Works on", "Last seen"], this.#body);
    this.element = h("section", { class: "fleet-part" }, h("h2", {}, "Workers"), this.table, this.#empty);
  }

  show(workers) {
    this.#workers = [...workers].sort((a, b) => (a.state === "silent") - (b.state === "silent"));
    this.paint();
  }

  paint() {
    keyed(this.#body, this.#workers, (worker) => worker.worker_id, make, update);
    this.table.hidden = this.#workers.length === 0;
    this.#empty.hidden = !this.table.hidden;
  }
}

function make(worker) {
  const parts = {
    machine: h("span", { class: "name", dir: "auto" }),
    device: h("span", { class: "quiet" }),
    coders: h("span", { class: "quiet" }),
    state: h("span", { class: "badge" }),
    trouble: h("span", { class: "quiet bad name", dir: "auto" }),
    job: h("a", { class: "name", dir: "auto" }),
    what: h("span", { class: "quiet" }),
    seen: h("time", {}),
    since: h("span", { class: "quiet" }),
  };
  const made = row(
    cell("Worker", h("strong", {}, KINDS[worker.kind] ?? worker.kind), h("code", { class: "name", dir: "auto" }, worker.worker_id)),
    cell("Machine", parts.machine, parts.device, parts.coders),
    cell("State", parts.state, parts.trouble),
    cell("Works on", parts.job, parts.what),
    cell("Last seen", parts.seen, parts.since),
  );
  made.parts = parts;
  return made;
}

function update({ parts }, worker) {
  const [word, style] = STATES[worker.state] ?? [worker.state, ""];
  setText(parts.machine, worker.machine ?? "not told");
  setText(parts.device, worker.device ?? "");
  setText(parts.coders, coders(worker.hardware));
  setText(parts.state, word);
  parts.state.className = `badge ${style}`;
  setText(parts.trouble, worker.trouble ?? "");
  paintWork(parts, worker);
  setText(parts.seen, ago(worker.seen_at));
  parts.seen.dateTime = worker.seen_at;
  setText(parts.since, `started ${ago(worker.started_at)}`);
}

function paintWork(parts, worker) {
  const { job_id: id, job_name: name, chunk_index: index, phase, working_since: since } = worker;
  parts.job.hidden = !id || !name;
  if (!id) return void setText(parts.what, worker.state === "silent" ? "" : "nothing");
  parts.job.href = `#/jobs/${id}`;
  setText(parts.job, name ?? "");
  const whose = name ? "" : `another tenant's job ${id.slice(0, 8)}, `;
  const what = index === null ? "the whole job" : `chunk ${index + 1} (${phase})`;
  const long = since ? `, for ${duration((Date.now() - Date.parse(since)) / 1000)}` : "";
  setText(parts.what, whose + what + long);
}

/** "encodes with h264_nvenc, decodes with nvdec" */
function coders(hardware) {
  const decoders = hardware.filter((name) => HARDWARE.test(name));
  const encoders = hardware.filter((name) => !HARDWARE.test(name));
  const words = [encoders.length && `encodes with ${encoders.join(", ")}`, decoders.length && `decodes with ${decoders.join(", ")}`];
  return words.filter(Boolean).join("; ") || "encodes and decodes in software";
}
