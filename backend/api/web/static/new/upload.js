// Sends a file in parts, several at once and each as often as it takes. What arrived before a reload is not sent again.

import { Problem, beginUpload, completeUpload, dropUpload, getUpload, linkPart, partUrl, problemOf } from "../core/api.js";
import { put } from "./put.js";
import { signedIn } from "../core/sign_in.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
const REFUSALS = 4; // of the store, which a fresh link may overcome
const UNREACHED = 2; // tries to reach the store before parts go through the API: its CORS rule may be missing
const WINDOW_MS = 8000; // over which the speed is measured

class Stopped extends Error {}
class Interrupted extends Error {} // by a pause

/**
 * `id`: of what arrived of this file earlier, or null; `mayBeUsed`: also if its job was made. `began(id)` is told the upload's id once there is one.
 * `tell({sent, total, speed, paused, trouble})`: bytes, and bytes a second where that is known yet. `atOnce`: how many parts.
 */
export class Upload {
  #file;
  #id;
  #mayBeUsed;
  #began;
  #tell;
  #atOnce;
  #upload = null;
  #missing = [];
  #arrived = 0; // bytes of parts that are there
  #flying = new Map(); // number → bytes on their way
  #requests = new Set();
  #samples = [];
  #ended = ""; // "stopped": to be gone on with; "cancelled": not; "failed"
  #pause = null; // a promise of its end
  #wake = null;
  #sleepers = new Set();
  #trouble = "";
  #unreached = 0;
  #reached = false;

  constructor(file, { id = null, mayBeUsed = false, began, tell, atOnce }) {
    this.#file = file;
    this.#id = id;
    this.#mayBeUsed = mayBeUsed;
    this.#began = began;
    this.#tell = tell;
    this.#atOnce = atOnce;
  }

  /** The upload's id once it is complete; null when it was stopped or cancelled. Rejects with a Problem. */
  async run() {
    try {
      this.#upload = (await this.#insist(() => this.#earlier())) ?? (await this.#insist(() => this.#begun()));
      await this.#finish();
      return this.#upload.id;
    } catch (problem) {
      if (this.#ended === "stopped" || this.#ended === "cancelled") return null;
      throw problem;
    } finally {
      if (this.#ended === "cancelled" && this.#upload) await this.#drop();
    }
  }

  /** No more is sent; the same file can go on later, here or after a reload. */
  stop() {
    this.#end("stopped");
  }

  /** No more is sent, and what arrived is thrown away. */
  cancel() {
    this.#end("cancelled");
  }

  pause() {
    if (this.#pause) return;
    this.#pause = new Promise((resolve) => (this.#wake = resolve));
    this.#breakOff();
    this.#report();
  }

  resume() {
    this.#wake?.();
    for (const wake of this.#sleepers) wake();
    this.#sleepers.clear();
    this.#pause = this.#wake = null;
    this.#samples = [];
    this.#report();
  }

  /** What is there of this file, if anything. */
  async #earlier() {
    if (!this.#id) return null;
    try {
      const found = await getUpload(this.#id);
      const fits = found.size_bytes === this.#file.size && (found.state !== "used" || this.#mayBeUsed);
      return fits ? found : null;
    } catch (problem) {
      if (problem.status !== 404) throw problem; // it ran out, or is somebody else's
      return null;
    }
  }

  async #begun() {
    const { name, size, type } = this.#file;
    const begun = await beginUpload({
      name: name || "video",
      size_bytes: size,
      content_type: type || null,
      part_checksum: globalThis.crypto?.subtle ? "sha256" : null, // only there in a secure context
    });
    this.#began(begun.id);
    return begun;
  }

  async #finish() {
    while (this.#upload.state === "open") {
      this.#take(this.#upload);
      await Promise.all(Array.from({ length: this.#atOnce }, () => this.#work()));
      this.#upload = await this.#completed();
    }
    this.#arrived = this.#file.size;
    this.#report();
  }

  #take(upload) {
    const there = new Set(upload.received.map((part) => part.number));
    this.#missing = Array.from({ length: upload.parts }, (_, index) => index + 1).filter((number) => !there.has(number));
    this.#arrived = upload.received_bytes;
    this.#report();
  }

  async #work() {
    for (let number; (number = this.#missing.shift()) !== undefined; ) {
      try {
        await this.#insist(() => this.#send(number));
      } catch (problem) {
        if (!this.#ended) this.#end("failed"); // the others need not go on
        throw problem;
      }
      this.#flying.delete(number);
      this.#arrived += this.#length(number);
      this.#report();
    }
  }

  /** Complete, or open again where parts turned out to be missing. */
  async #completed() {
    try {
      return await this.#insist(() => completeUpload(this.#upload.id));
    } catch (problem) {
      if (problem.code !== "upload_incomplete") throw problem;
      return getUpload(this.#upload.id);
    }
  }

  /** Again and again, as long as it can help. */
  async #insist(act) {
    for (let tries = 0; ; tries += 1) {
      await this.#goOn();
      try {
        const answer = await act();
        this.#trouble = "";
        return answer;
      } catch (problem) {
        await this.#goOn();
        if (problem instanceof Interrupted) continue;
        if (!passes(problem, tries)) throw problem;
        this.#trouble = problem.message;
        this.#report();
        await this.#rest(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries));
      }
    }
  }

  /** Raises Stopped; waits while paused. */
  async #goOn() {
    if (this.#ended) throw new Stopped();
    if (this.#pause) await this.#pause;
    if (this.#ended) throw new Stopped();
  }

  /** Cut short when it is over. */
  #rest(milliseconds) {
    return new Promise((resolve) => {
      this.#sleepers.add(resolve);
      setTimeout(resolve, milliseconds * (0.75 + Math.random() / 2));
    });
  }

  async #send(number) {
    const bytes = await read(this.#file.slice(this.#offset(number), this.#offset(number) + this.#length(number)));
    const sha256 = this.#upload.part_checksum ? new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)) : null;
    const target = await this.#target(number, sha256);
    await this.#goOn();
    const request = put(target.url, target.headers, bytes, (sent) => {
      this.#flying.set(number, sent);
      this.#report();
    });
    this.#requests.add(request);
    try {
      const { status, answer, aborted } = await request.done;
      if (aborted) throw new Interrupted();
      if (status === 401 && !target.direct) await signedIn();
      if (status < 200 || status >= 300) throw this.#refusal(target, status, answer);
      if (target.direct) this.#reached = true;
    } finally {
      this.#requests.delete(request);
      this.#flying.delete(number);
    }
  }

  async #target(number, sha256) {
    if (!this.#reached && this.#unreached >= UNREACHED) {
      const headers = sha256 ? { "Content-Digest": `sha-256=:${base64(sha256)}:` } : {};
      return { url: partUrl(this.#upload.id, number), headers, direct: false };
    }
    const link = await linkPart(this.#upload.id, number, sha256 && hex(sha256));
    return { url: link.url, headers: link.headers, direct: !link.url.startsWith("/") };
  }

  #refusal(target, status, answer) {
    if (!target.direct) return problemOf(status, answer);
    if (status === 0) this.#unreached += 1;
    const title = status ? "The store refused a part." : "The store does not answer. Trying another way.";
    return Object.assign(new Problem(title, { status }), { refused: status >= 400 && status < 500 });
  }

  #offset(number) {
    return (number - 1) * this.#upload.part_bytes;
  }

  #length(number) {
    return Math.min(this.#upload.part_bytes, this.#file.size - this.#offset(number));
  }

  #breakOff() {
    for (const request of this.#requests) request.abort();
  }

  #end(how) {
    this.#ended = how;
    this.#breakOff();
    this.resume();
  }

  async #drop() {
    await dropUpload(this.#upload.id).catch(() => {}); // the server lets it run out
  }

  #report() {
    if (this.#ended) return;
    const sent = this.#arrived + [...this.#flying.values()].reduce((sum, each) => sum + each, 0);
    const now = performance.now();
    this.#samples = [...this.#samples.filter(([at]) => now - at < WINDOW_MS), [now, sent]];
    const [[first, before]] = this.#samples;
    const speed = now - first > 1000 ? (1000 * Math.max(0, sent - before)) / (now - first) : null;
    this.#tell({ sent, total: this.#file.size, speed, paused: this.#pause !== null, trouble: this.#trouble });
  }
}

/** Whether it may go well the next time. What a quota says is for the person to hear: it takes longer to pass. */
function passes(problem, tries) {
  if (problem.refused) return tries < REFUSALS;
  if (LASTING.has(problem.code)) return false;
  return problem.passes || problem.status === 401 || problem.status === 408 || PASSING.has(problem.code);
}

const LASTING = new Set(["upload_quota_reached", "quota_exceeded", "storage_full"]);
const PASSING = new Set(["upload_busy", "checksum_mismatch"]);

async function read(blob) {
  try {
    return await blob.arrayBuffer();
  } catch {
    throw new Problem("The file cannot be read any more. Was it moved or changed? Choose it again.", { status: 400 });
  }
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
