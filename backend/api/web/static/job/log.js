// What happened to a job, in order, as its own times and those of its chunks tell it.

import { h, keyed, setText } from "../core/dom.js";
import { duration } from "../core/words.js";

const MOST = 200;

/** [{at: iso, words, bad?, key}], newest first. */
export function eventsOf(job, chunks) {
  const found = [{ at: job.created_at, words: job.version_of ? `Version ${job.version} was asked for` : "The job was made", key: "created" }];
  if (job.started_at) found.push({ at: job.started_at, words: "The first worker began", key: "started" });
  const phases = new Set();
  for (const chunk of chunks) {
    if (!phases.has(chunk.phase)) {
      phases.add(chunk.phase);
      const count = chunks.filter((each) => each.phase === chunk.phase).length;
      found.push({ at: chunk.created_at, words: `${phaseWords(chunk.phase)}: cut into ${count} ${count === 1 ? "part" : "parts"}`, key: `phase-${chunk.phase}` });
    }
    found.push(...ofChunk(chunk));
  }
  if (job.completed_at) found.push({ at: job.completed_at, ...endOf(job), key: "end" });
  // Within one moment, what was made comes before what was done.
  return found.map((event, order) => ({ ...event, order })).sort((a, b) => Date.parse(b.at) - Date.parse(a.at) || b.order - a.order);
}

function ofChunk(chunk) {
  const name = `${phaseWords(chunk.phase)}, part ${chunk.chunk_index + 1}`;
  const key = `${chunk.phase}-${chunk.chunk_index}`;
  const found = [];
  const by = chunk.claimed_by ? ` by ${chunk.claimed_by}` : "";
  if (chunk.status === "completed" && chunk.completed_at && chunk.attempts > 0) {
    const took = chunk.runtime_ms === null ? "" : ` in ${duration(chunk.runtime_ms / 1000)}`;
    found.push({ at: chunk.completed_at, words: `${name}: done${took}${by}`, key: `${key}-done` });
  }
  if (chunk.status === "processing" && chunk.started_at) found.push({ at: chunk.started_at, words: `${name}: taken up${by}`, key: `${key}-taken-${chunk.attempts}` });
  if (chunk.status === "failed" && chunk.completed_at) {
    found.push({ at: chunk.completed_at, words: `${name}: failed. ${chunk.error_message ?? ""}`, bad: true, key: `${key}-failed` });
  } else if (chunk.failures > 0 && chunk.started_at) {
    const whose = chunk.failed_by ? `, by ${chunk.failed_by}` : "";
    const tries = chunk.failures === 1 ? "a try" : `${chunk.failures} tries`;
    found.push({ at: chunk.started_at, words: `${name}: ${tries} before this failed${whose}. ${chunk.error_message ?? ""}`, bad: true, key: `${key}-tries` });
  }
  return found;
}

function endOf(job) {
  if (job.status === "done") return { words: "Done" };
  if (job.status === "cancelled") return { words: "Cancelled" };
  return { words: `Failed. ${job.error?.message ?? ""}`, bad: true };
}

function phaseWords(phase) {
  const words = { detect: "Find people", render: "Write the film", pose: "Find poses" }[phase] ?? phase.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export class Log {
  constructor() {
    this.#list = h("ol", { class: "log" });
    this.element = h("details", { class: "log-box" }, h("summary", {}, "What happened"), this.#list);
  }

  #list;

  paint(job, chunks) {
    const events = eventsOf(job, chunks).slice(0, MOST);
    keyed(this.#list, events, ({ key }) => key, () => h("li", {}, h("time"), h("span", { dir: "auto" })), paintEvent);
  }
}

function paintEvent(item, { at, words, bad }) {
  const [time, text] = item.children;
  time.setAttribute("datetime", at);
  setText(time, localTime(new Date(at)));
  setText(text, words);
  item.className = bad ? "bad" : "";
}

/** With its day, unless that is today. */
function localTime(at) {
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? at.toLocaleTimeString() : at.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}
