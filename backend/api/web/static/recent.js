// The last jobs, to return to.

import { recentJobs } from "./api.js";
import { poll } from "./poll.js";
import { ago, shapeWords, shortStatus } from "./words.js";

const section = document.getElementById("recent");
const list = document.getElementById("recent-list");
const FINAL = new Set(["done", "failed", "cancelled"]);
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
  link.append(
    text("span", "name", job.input.name),
    text("span", "quiet", [shapeWords(job.params.aspect), ago(job.created_at)].filter(Boolean).join(" · ")),
    text("span", `badge ${FINAL.has(job.status) ? job.status : "active"}`, shortStatus(job)),
  );
  link.firstElementChild.dir = "auto";
  const item = document.createElement("li");
  item.append(link);
  return item;
}

function text(tag, className, content) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}
