// The page's only way to the server. Whatever goes wrong becomes a Problem with a sentence to show.

import { signedIn } from "./sign_in.js";

const JOBS = "/api/v1/jobs";
const UPLOADS = "/api/v1/uploads";
const COMPLETE_MS = 600_000; // a store joins thousands of parts
const TIMEOUT_MS = 30_000;

export class Problem extends Error {
  constructor(title, { code = "", status = 0 } = {}) {
    super(title);
    this.code = code;
    this.status = status; // 0: no answer came at all
  }

  /** The same question may be answered later. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const jobUrl = (id) => `${JOBS}/${id}`;
export const getJob = (id) => reread(jobUrl(id));
export const cancelJob = (id) => ask(`${jobUrl(id)}/cancel`, { method: "POST" });
export const retryJob = (id) => ask(`${jobUrl(id)}/retry`, { method: "POST" });
export const pauseJob = (id) => ask(`${jobUrl(id)}/pause`, { method: "POST" });
export const resumeJob = (id) => ask(`${jobUrl(id)}/resume`, { method: "POST" });

/** Cancels although the page goes away at this moment. */
export const cancelAtLast = (id) => fetch(`${jobUrl(id)}/cancel`, { method: "POST", keepalive: true });

/** A new job on the same source: `changes` as in {input?, params?}. Repeats with the same `key` make one job. */
export const runAgain = (id, changes = {}, key = newKey()) => ask(`${jobUrl(id)}/again`, posted(changes, key));

/** A page of jobs, newest first, or how many there are by status: `wanted` is a URLSearchParams of filters. */
export const listJobs = (wanted) => reread(`${JOBS}?${wanted}`);
export const countJobs = (wanted) => reread(`${JOBS}/counts?${wanted}`);

/** What concerns every view: whether the fleet is paused, and who works. */
export const getStatus = () => reread("/api/v1/status");

export const createFromLink = (input, params, key) => createJob({ input, params }, key);
export const createFromUpload = (upload, params, key) => createJob({ upload, params }, key);

export const partUrl = (id, number) => `${UPLOADS}/${id}/parts/${number}`;
export const beginUpload = (file) => ask(UPLOADS, posted(file));
export const getUpload = (id) => ask(`${UPLOADS}/${id}`);
export const completeUpload = (id) =>
  ask(`${UPLOADS}/${id}/complete`, { method: "POST", signal: AbortSignal.timeout(COMPLETE_MS) });
export const dropUpload = (id) => fetch(`${UPLOADS}/${id}`, { method: "DELETE", keepalive: true });

/** Where a part goes: {url, headers}. */
export async function linkPart(id, number, sha256) {
  const wanted = { parts: [{ number, ...(sha256 ? { sha256 } : {}) }] };
  return (await ask(`${UPLOADS}/${id}/parts`, posted(wanted))).parts[0];
}

function createJob(job, key) {
  return ask(JOBS, posted({ kind: "crop", ...job }, key));
}

/** With a `key`, a repeat does nothing a second time. */
export function posted(body, key = null) {
  const headers = { "Content-Type": "application/json", ...(key ? { "Idempotency-Key": key } : {}) };
  return { method: "POST", headers, body: JSON.stringify(body) };
}

/** The reason that the film cannot be had; null when it can, or when the store's own host serves it. */
export async function filmProblem(id) {
  try {
    const response = await fetch(`${jobUrl(id)}/output`, { headers: { Range: "bytes=0-0" }, redirect: "manual" });
    if (response.type === "opaqueredirect" || response.ok) return null;
    return problemOf(response.status, parsed(await response.text()));
  } catch {
    return noAnswer();
  }
}

/** crypto.randomUUID() is missing on plain http:// addresses. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const answers = new Map(); // path → {etag, value} of what is asked again and again
const MAX_ANSWERS = 50;

/** As `ask`, for what is read again and again: the very same object as before where nothing changed (304). */
export async function reread(path) {
  const known = answers.get(path);
  const { value, etag, status } = await asked(path, known ? { headers: { "If-None-Match": known.etag } } : {});
  if (status === 304) return known.value;
  answers.delete(path);
  if (etag) answers.set(path, { etag, value });
  if (answers.size > MAX_ANSWERS) answers.delete(answers.keys().next().value);
  return value;
}

export async function ask(path, options = {}) {
  return (await asked(path, options)).value;
}

async function asked(path, options = {}) {
  let status, text, etag;
  try {
    const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
    status = response.status;
    etag = response.headers.get("ETag");
    text = await response.text();
  } catch {
    throw noAnswer();
  }
  if (status === 304) return { status };
  const value = parsed(text);
  if (status === 401) {
    await signedIn();
    return asked(path, options);
  }
  if (status >= 300 || !value) throw problemOf(status, value);
  return { value, etag, status };
}

function noAnswer() {
  return new Problem("The server does not answer. Check the network and try again.");
}

export function problemOf(status, answer) {
  const words = answer && (answer.detail || answer.title);
  if (typeof words === "string") {
    return new Problem(sentence(words), { code: answer.code, status });
  }
  if (status === 413) return new Problem("The file is larger than this server accepts.", { status });
  return new Problem(`The server gave an answer that this page cannot read (HTTP ${status}). Try again in a moment.`, {
    status: status < 300 ? 502 : status,
  });
}

function sentence(title) {
  const text = title.charAt(0).toUpperCase() + title.slice(1);
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
