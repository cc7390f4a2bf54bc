// The last jobs, to return to.

import { recentJobs } from "./api.js";
import { byId, textElement } from "./dom.js";
import { poll } from "./poll.js";
import { FINAL, ago, kindWords, shortStatus } from "./words.js";

const section = byId("recent");
const list = byId("recent-list");
let polling = null;

/** Keeps the list fresh while one of its jobs is still at work. */
export function showRecent() {
  hideRecent();
  polling = poll(recentJobs, paint, () => true);
}

export function hideRecent() {
  polling?.stop();
}

function paint(jobs) {
  section.hidden = jobs.length === 0;
  const focused = document.activeElement?.closest("#recent a")?.hash;
  list.replaceChildren(...jobs.map(row));
  if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
  return jobs.some((job) => !FINAL.has(job.status));
}

function row(job) {
  const link = document.createElement("a");
  link.href = `#job=${job.id}`;
  const name = textElement("span", job.input.name, "name");
  name.dir = "auto";
  const about = [kindWords(job.kind), ago(job.created_at)].join(" · ");
  const badge = `badge ${FINAL.has(job.status) ? job.status : "active"}`;
  link.append(name, textElement("span", about, "quiet"), textElement("span", shortStatus(job), badge));
  const item = document.createElement("li");
  item.append(link);
  return item;
}
