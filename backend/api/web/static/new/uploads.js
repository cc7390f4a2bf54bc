// All uploads of this tab. They live outside of the views: going to another one stops none of them.

import { cancelJob, createFromUpload, dropUpload, newKey } from "../core/api.js";
import { forgetHandle, keepHandle } from "./handles.js";
import { forget, nameOf, remember, remembered } from "./unfinished.js";
import { Upload } from "./upload.js";

const FILES_AT_ONCE = 2;
const PARTS_AT_ONCE = { alone: 3, beside: 2 }; // a browser has six connections to a host, and the page asks for more than parts
const AGAIN_MS = [1000, 2000, 4000, 8000, 15_000];
const UNDER_WAY = new Set(["sending", "storing"]);
const GOING_ON = new Set(["waiting", "paused", ...UNDER_WAY]);
const TAB = "This file is being uploaded in another tab.";

const entries = [];
const listeners = new Set();
let told = false;
let count = 0;

/**
 * An upload, for views to show: `state` is "waiting" (for others), "sending", "paused", "storing" (all bytes are there),
 * "failed" (`problem` says why) or "done" (`job`).
 */
class Entry {
  state = "waiting";
  sent = 0;
  speed = null; // bytes a second
  trouble = "";
  problem = null;
  job = null;
  upload = null;
  unwanted = false;

  constructor(given) {
    Object.assign(this, given, { number: (count += 1) });
  }

  get isGoingOn() {
    return GOING_ON.has(this.state);
  }
}

export const uploads = {
  /** All entries, in the order in which they were added. */
  list: () => [...entries],
  isGoingOn: () => entries.some((entry) => entry.isGoingOn),

  /** Whether this tab has this very file already. */
  has: (file) => entries.some((entry) => nameOf(entry.file) === nameOf(file) && entry.state !== "done"),

  /** Queues a file. `params`: of its job. `handle`: for later, if any. `picture`: a canvas of its own. `alone`: started by itself. */
  add({ file, params, handle = null, picture = null, alone = false }) {
    const earlier = remembered(file);
    const isSame = JSON.stringify(earlier?.params) === JSON.stringify(params);
    const key = isSame ? earlier.key : newKey();
    remember(file, { params, key });
    keepHandle(file, handle);
    const entry = new Entry({ file, name: file.name, size: file.size, params, key, picture, alone, mayBeUsed: isSame });
    entries.push(entry);
    next();
    return entry;
  },

  pause(entry) {
    if (!["waiting", "sending"].includes(entry.state)) return;
    entry.state = "paused";
    entry.upload?.pause();
    next();
  },

  resume(entry) {
    if (entry.state !== "paused") return;
    entry.state = "waiting";
    next();
  },

  pauseAll: () => entries.forEach(uploads.pause),
  resumeAll: () => entries.forEach(uploads.resume),

  /** A failed one once more. */
  retry(entry) {
    Object.assign(entry, { state: "waiting", problem: null, trouble: "", mayBeUsed: true });
    next();
  },

  /** Ends it, and throws away what arrived. */
  discard(entry) {
    entry.unwanted = true;
    if (entry.upload) entry.upload.cancel();
    else drop(entry);
  },

  /** No longer shown. */
  dismiss(entry) {
    entries.splice(entries.indexOf(entry), 1);
    tell();
  },

  /** Calls `fn(entry)` after changes, with the entry that became a job or failed, else null. Returns how to stop that. */
  onChange(fn) {
    listeners.add(fn);
    return () => listeners.delete(fn);
  },
};

function next() {
  for (const entry of entries) {
    if (entries.filter(({ state }) => UNDER_WAY.has(state)).length >= FILES_AT_ONCE) break;
    if (entry.state !== "waiting") continue;
    entry.state = "sending";
    if (entry.upload) entry.upload.resume();
    else run(entry);
  }
  tell();
}

/** Bears with whatever happens: it never rejects. */
async function run(entry) {
  try {
    entry.job = await locked(entry.file, () => sent(entry));
    if (entry.job) entry.state = "done";
  } catch (problem) {
    Object.assign(entry, { state: "failed", problem });
  }
  entry.upload = null;
  const isGone = entry.unwanted && !entry.problem;
  if (entry.job || isGone) forgetAll(entry.file);
  if (isGone) entries.splice(entries.indexOf(entry), 1);
  next();
  tell(isGone ? null : entry);
}

/** The job, or null where it was discarded. */
async function sent(entry) {
  const atOnce = entries.filter((each) => each.isGoingOn).length > 1 ? PARTS_AT_ONCE.beside : PARTS_AT_ONCE.alone;
  const { file, params, key, mayBeUsed } = entry;
  entry.upload = new Upload(file, {
    id: remembered(file)?.id ?? null,
    mayBeUsed,
    atOnce,
    began: (id) => remember(file, { id }),
    tell: ({ sent: arrived, speed, trouble }) => {
      Object.assign(entry, { sent: arrived, speed, trouble });
      if (UNDER_WAY.has(entry.state)) entry.state = arrived >= file.size ? "storing" : "sending";
      soon();
    },
  });
  const id = await entry.upload.run();
  if (!id) return null;
  entry.state = "storing";
  const job = await insist(entry, () => createFromUpload(id, params, key));
  // Once every byte is there the job may be made whatever we do: it is then cancelled instead.
  return entry.unwanted ? (await cancelJob(job.id), null) : job;
}

/** Again while the server is away: a repeat makes no second job. */
async function insist(entry, act) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await act();
    } catch (problem) {
      if (![0, 502, 503, 504].includes(problem.status)) throw problem;
      entry.trouble = problem.message;
      tell();
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS[Math.min(tries, AGAIN_MS.length - 1)]));
    }
  }
}

/** Two tabs would send the same parts twice. Locks are there in secure contexts alone. */
function locked(file, act) {
  if (!navigator.locks) return act();
  return navigator.locks.request(nameOf(file), { ifAvailable: true }, (lock) => {
    if (!lock) throw Object.assign(new Error(TAB), { code: "" });
    return act();
  });
}

/** Names of files that another tab sends at this moment. */
export async function sentElsewhere() {
  const held = (await navigator.locks?.query())?.held ?? [];
  const here = new Set(entries.filter((entry) => entry.isGoingOn).map((entry) => nameOf(entry.file)));
  return new Set(held.map((lock) => lock.name).filter((name) => !here.has(name)));
}

function drop(entry) {
  discardUnfinished(entry.file);
  entries.splice(entries.indexOf(entry), 1);
  next();
}

/** Of a file, or of its record from before a reload: what arrived of it is thrown away. */
export function discardUnfinished(file) {
  const id = remembered(file)?.id;
  if (id) dropUpload(id).catch(() => {}); // the server lets it run out
  forgetAll(file);
}

export function forgetAll(file) {
  forget(file);
  forgetHandle(file);
}

/** Progress comes with each packet; it is drawn less often. */
function soon() {
  if (told) return;
  told = true;
  setTimeout(() => ((told = false), tell()), 200);
}

function tell(entry = null) {
  for (const listener of listeners) listener(entry);
}

window.addEventListener("beforeunload", (event) => uploads.isGoingOn() && event.preventDefault());
