// Asks the server for the path that the edit would have: one question at a time, and of those that wait the newest.

import { ask, jobUrl, posted } from "../core/api.js";

const FIRST_MS = 180_000; // the server reads a long film's tracks at the first question
const BUSY = 429;
const AGAIN_MS = 1000;

/** One question on its way, and the newest of those that came meanwhile. */
class Lane {
  constructor(answer) {
    this.answer = answer;
  }

  #waiting = null;
  #busy = false;

  async ask(question) {
    this.#waiting = question;
    if (this.#busy) return;
    this.#busy = true;
    while (this.#waiting) {
      const next = this.#waiting;
      this.#waiting = null;
      await this.answer(next);
    }
    this.#busy = false;
  }

  drop() {
    this.#waiting = null;
  }
}

export class Solver {
  /**
   * `onPath(path, sinceMs)`: an answer that is not older than what was shown before; `sinceMs`: when what it answers happened
   * (performance.now()). `onTrouble(problem | null)`: the newest question could not be answered, or could again.
   */
  constructor(jobId, { onPath, onTrouble, send = null }) {
    this.#send = send ?? ((body) => ask(`${jobUrl(jobId)}/solve`, { ...posted(body), signal: AbortSignal.timeout(FIRST_MS) }));
    this.#onPath = onPath;
    this.#onTrouble = onTrouble;
  }

  #send;
  #onPath;
  #onTrouble;
  #turn = 0;
  #newestNear = 0;
  #shown = 0;
  #gone = false;
  #near = new Lane((question) => this.#answer(question));
  #whole = new Lane((question) => this.#answer(question));

  /** The stretch around a time, while somebody drags. With `thenWhole` the whole path after it, not beside it: it would take its time. */
  near(params, aroundSec, sinceMs, { thenWhole = false } = {}) {
    this.#whole.drop();
    this.#newestNear = ++this.#turn;
    this.#near.ask({ turn: this.#turn, params, aroundSec, sinceMs, thenWhole });
  }

  /** The whole path, in the background. */
  whole(params, sinceMs = performance.now()) {
    this.#whole.ask({ turn: ++this.#turn, params, aroundSec: null, sinceMs });
  }

  stop() {
    this.#gone = true;
    this.#near.drop();
    this.#whole.drop();
  }

  async #answer(question) {
    const { turn, params, aroundSec, sinceMs, thenWhole } = question;
    const isNewest = () => turn === (aroundSec === null ? this.#turn : this.#newestNear);
    const isOld = () => this.#gone || turn < this.#shown || (aroundSec === null && !isNewest());
    while (!isOld()) {
      const { path, problem } = await this.#asked({ params, around_sec: aroundSec });
      if (isOld()) return;
      if (path) {
        this.#shown = turn;
        this.#onTrouble(null);
        this.#onPath(path, sinceMs);
        if (thenWhole && isNewest()) this.whole(params, sinceMs);
        return;
      }
      if (!isNewest()) return;
      this.#onTrouble(problem);
      if (problem.status !== BUSY) return;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      if (!isNewest()) return; // somebody drags on
    }
  }

  async #asked(body) {
    try {
      return { path: await this.#send(body) };
    } catch (problem) {
      return { problem };
    }
  }
}
