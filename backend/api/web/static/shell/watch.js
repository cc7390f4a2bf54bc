// "Tell me when it is done": jobs whose end is said outside of the page. It is kept here; any open tab tells it, once.

import { getJob } from "../core/api.js";
import { FINAL, endWords } from "../core/words.js";

const KEPT = "framefleet-watched";
const TURN_MS = 15_000; // one job each time, also while nobody looks: that is what it is for
const MAX_WATCHED = 100;
const listeners = new Set();

/** Whether its end is to be told. */
export const isWatched = (id) => Boolean(kept()[id]);

/** Calls `tell` after each change. Returns how to stop that. */
export function onWatch(tell) {
  listeners.add(tell);
  return () => listeners.delete(tell);
}

/**
 * Watches these jobs. The browser is asked for its leave here, and only here: call it from a click. Returns the words to
 * show to the person.
 */
export async function watchJobs(jobs) {
  keep({ ...kept(), ...Object.fromEntries(jobs.map((job) => [job.id, { name: job.input.name }])) });
  const allowed = "Notification" in window ? await Notification.requestPermission() : "denied";
  const whom = jobs.length === 1 ? `when “${jobs[0].input.name}” is done` : `when each of the ${jobs.length} jobs is done`;
  if (allowed === "granted") return `You are told ${whom}, while a tab of this page is open.`;
  return `This browser does not let the page notify you; it is said here in the page ${whom}.`;
}

export function unwatch(id) {
  const { [id]: gone, ...rest } = kept();
  keep(rest);
}

/** Begins to look after watched jobs. `notice` says it in the page where the browser may not. */
export function startWatching(notice) {
  let turn = 0;
  const tellOnce = async (job) => {
    if (!FINAL.has(job.status) || !isWatched(job.id)) return;
    const tell = () => {
      if (!isWatched(job.id)) return; // another tab was first
      unwatch(job.id);
      say(job, notice);
    };
    await (navigator.locks ? navigator.locks.request(KEPT, tell) : tell());
  };
  setInterval(async () => {
    const ids = Object.keys(kept());
    if (!ids.length) return;
    const id = ids[turn++ % ids.length];
    try {
      await tellOnce(await getJob(id));
    } catch (problem) {
      if (problem.status === 404) unwatch(id); // else it is asked again
    }
  }, TURN_MS);
  window.addEventListener("storage", (event) => event.key === KEPT && changed());
  return { saw: tellOnce };
}

function say(job, notice) {
  const title = endWords(job);
  const address = `#/jobs/${job.id}`;
  if ("Notification" in window && Notification.permission === "granted") {
    const shown = new Notification(title, { body: job.input.name, tag: job.id, icon: "/static/icon.svg" });
    shown.onclick = () => (window.focus(), location.assign(address), shown.close());
  } else notice(`${title}: ${job.input.name}`, { href: address });
}

function kept() {
  try {
    const value = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    return value && typeof value === "object" && !Array.isArray(value) ? value : {};
  } catch {
    return {}; // what others wrote, or no storage at all
  }
}

function keep(jobs) {
  localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(Object.entries(jobs).slice(-MAX_WATCHED))));
  changed();
}

function changed() {
  for (const tell of listeners) tell();
}
