// The edit survives a reload: what was changed is kept in the browser, a few jobs' worth. Two tabs do not write over each
// other: the one that changed it last has it, the other says so and asks.

import { newKey } from "../core/api.js";
import { wellFormed } from "./choices.js";

const PREFIX = "framefleet-edit-";
const MOST_BYTES = 200_000;
const MOST_DRAFTS = 20;

export class Draft {
  /** `onOther()`: another tab changed the same job's edit. */
  constructor(jobId, onOther) {
    this.#key = PREFIX + jobId;
    this.#heard = (event) => {
      if (event.key !== this.#key || this.#read(event.newValue)?.tab === this.#tab) return;
      this.#yielded = true;
      onOther();
    };
    window.addEventListener("storage", this.#heard);
  }

  #key;
  #heard;
  #tab = newKey();
  #yielded = false;

  /** {name: value} that was changed; {} where nothing was, or what lies there is not of the right form. */
  load() {
    return wellFormed(this.#read(localStorage.getItem(this.#key))?.changes);
  }

  /** Keeps the changes, unless another tab has them in hand. Returns whether they are kept. */
  save(changes) {
    if (this.#yielded) return false;
    if (!Object.keys(changes).length) {
      localStorage.removeItem(this.#key);
      return true;
    }
    const text = JSON.stringify({ changes, tab: this.#tab, at: Date.now() });
    if (text.length > MOST_BYTES) return false;
    try {
      localStorage.setItem(this.#key, text);
    } catch {
      return false; // the browser's store is full
    }
    this.#prune();
    return true;
  }

  /** From here on this tab has the edit in hand. */
  takeOver() {
    this.#yielded = false;
  }

  stop() {
    window.removeEventListener("storage", this.#heard);
  }

  #read(text) {
    try {
      const value = JSON.parse(text);
      return value && typeof value === "object" ? value : null;
    } catch {
      return null;
    }
  }

  #prune() {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX) && key !== this.#key);
    const at = (key) => Number(this.#read(localStorage.getItem(key))?.at) || 0;
    for (const key of keys.sort((a, b) => at(b) - at(a)).slice(MOST_DRAFTS - 1)) localStorage.removeItem(key);
  }
}
