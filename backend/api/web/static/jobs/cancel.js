// Cancelling that can be undone. The server's cancel is final, so a job is paused at once, and cancelled when the time
// for second thoughts is over. What is pending is kept with its time: after a reload, in another tab, or when the tab
// goes away in the middle, the job is still cancelled.

import { cancelAtLast, cancelJob, getJob, pauseJob, resumeJob } from "../core/api.js";
import { FINAL } from "../core/words.js";

const UNDO_MS = 8000;
const KEPT = "framefleet-cancelling";
const OTHERS_FIRST_MS = 1500; // another tab leaves it to the one that was asked
const AGAIN_MS = 5000; // after a server that did not answer
const mine = new Set(); // ids that this tab was asked for
const listeners = new Set();
let timer = 0;

/** Whether the job is to be cancelled in a moment. */
export const isCancelling = (id) => Boolean(pending()[id]);

/** Calls `tell(job)` after each change, with the job as the server now has it, or null. Returns how to stop that. */
export function onCancelling(tell) {
  listeners.add(tell);
  return () => listeners.delete(tell);
}

/** Cancels these jobs in 8 s, unless the person takes it back: `notice` is app.notice. */
export async function cancelWithUndo(jobs, notice) {
  const due = Date.now() + UNDO_MS;
  const ids = jobs.map((job) => job.id);
  ids.forEach((id) => mine.add(id));
  change((all) => jobs.forEach((job) => (all[job.id] = { due, paused: job.paused })));
  offerUndo(ids, jobs.length === 1 ? `Cancelled ${jobs[0].input.name}` : `Cancelled ${jobs.length} jobs`, due, notice);
  for (const job of jobs) {
    if (job.paused || !isCancelling(job.id)) continue;
    try {
      changed(await pauseJob(job.id));
      if (!isCancelling(job.id)) changed(await resumeJob(job.id)); // taken back meanwhile
    } catch (problem) {
      if (problem.passes) continue; // it is cancelled all the same, if not held until then
      forget(job.id);
      notice(`${job.input.name}: ${problem.message}`);
    }
  }
}

/** Carries out what is pending, of this tab and of others that went away. Once a page. */
export function startCancelling(notice) {
  const left = Object.entries(pending()).filter(([, { due, sent }]) => !sent && due > Date.now() + 1000);
  if (left.length) {
    const ids = left.map(([id]) => id);
    const due = Math.min(...left.map(([, each]) => each.due));
    offerUndo(ids, ids.length === 1 ? "A job is being cancelled" : `${ids.length} jobs are being cancelled`, due, notice);
  }
  window.addEventListener("storage", (event) => event.key === KEPT && changed());
  window.addEventListener("pagehide", sendAtLast);
  changed();
}

function offerUndo(ids, words, due, notice) {
  notice(words, { ms: Math.max(0, due - Date.now()), stays: false, undo: () => takeBack(ids, notice) });
}

async function takeBack(ids, notice) {
  const back = ids.filter(isCancelling);
  const were = pending();
  back.forEach(forget);
  if (back.length < ids.length) notice("Some of them were cancelled already.");
  for (const id of back) {
    if (were[id].paused) continue; // as it was
    try {
      changed(await resumeJob(id));
    } catch (problem) {
      notice(`It is not cancelled, and still paused: ${problem.message}`);
    }
  }
}

async function carryOut() {
  for (const [id, { due, sent }] of Object.entries(pending())) {
    if (dueHere(id, due) > Date.now()) continue;
    // One tab at a time; whoever comes second finds it gone.
    await (navigator.locks ? navigator.locks.request(`${KEPT} ${id}`, () => cancelNow(id, due, sent)) : cancelNow(id, due, sent));
  }
  schedule();
}

async function cancelNow(id, due, sent) {
  if (!isCancelling(id)) return;
  try {
    const late = sent || Date.now() > due + 2 * OTHERS_FIRST_MS;
    const job = !late || (await isStillHeld(id)) ? await cancelJob(id) : null;
    forget(id);
    if (job) changed(job);
  } catch (problem) {
    if (problem.passes) change((all) => (all[id] = { ...all[id], due: Date.now() + AGAIN_MS, sent: true }));
    else forget(id); // it is over, or gone
  }
}

/** Whoever resumed it, or cancelled and retried it meanwhile, had the last word. */
async function isStillHeld(id) {
  const job = await getJob(id);
  return job.paused && !FINAL.has(job.status);
}

/** The page goes away. Whether this arrived is looked at by the next one. */
function sendAtLast() {
  const ids = Object.keys(pending()).filter((id) => mine.has(id));
  for (const id of ids) cancelAtLast(id).catch(() => {}); // nobody is there to be told; it stays pending
  if (ids.length) change((all) => ids.forEach((id) => (all[id] = { ...all[id], due: Date.now(), sent: true })));
}

const dueHere = (id, due) => due + (mine.has(id) ? 0 : OTHERS_FIRST_MS);

function schedule() {
  clearTimeout(timer);
  const next = Math.min(...Object.entries(pending()).map(([id, { due }]) => dueHere(id, due)));
  if (Number.isFinite(next)) timer = setTimeout(carryOut, Math.max(0, next - Date.now()));
}

const forget = (id) => change((all) => delete all[id]);

function change(write) {
  const all = pending();
  write(all);
  localStorage.setItem(KEPT, JSON.stringify(all));
  changed();
}

function changed(job = null) {
  schedule();
  for (const tell of listeners) tell(job);
}

function pending() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    return Object.fromEntries(Object.entries(kept ?? {}).filter(([, each]) => Number.isFinite(each?.due)));
  } catch {
    return {}; // what others wrote
  }
}
