// Something to see before the end: the first frame, then what each finished chunk found, people's boxes over it.

import { ask } from "../core/api.js";
import { h, setText } from "../core/dom.js";
import { clock } from "../core/words.js";
import { indexAt } from "../review/data.js";
import { Overlay } from "../review/overlay.js";

const NEAR_SEC = 0.6; // how far from its nearest sample a person is still drawn

export class Glimpse {
  constructor() {
    this.#image = h("img", { class: "poster", alt: "First frame", hidden: true, onerror: () => (this.#image.hidden = true) });
    this.#video = h("video", { muted: true, loop: true, autoplay: true, playsinline: true, hidden: true, "aria-label": "What was found so far" });
    this.#video.muted = true;
    this.picture = h("div", { class: "picture" }, this.#image, this.#video);
    this.#words = h("p", { class: "quiet" });
    this.#stop = h("button", { type: "button", class: "small", hidden: true, onclick: () => this.#toggle() }, "Stop");
    this.element = h("figure", { class: "glimpse", hidden: true }, this.picture, h("figcaption", { class: "toolbar" }, this.#words, this.#stop));
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.#video.autoplay = false;
    for (const event of ["play", "pause"]) this.#video.addEventListener(event, () => this.#paintStop());
    this.#paintStop();
    this.#video.onloadeddata = () => {
      this.#video.hidden = false;
      this.#image.hidden = true;
    };
    this.#watch();
  }

  #image;
  #video;
  #words;
  #stop;
  #overlay = null;
  #people = null; // of the chunk that plays
  #shown = ""; // its key
  #isPicked = false;
  #gone = false;

  paint(job, chunks) {
    if (job.links.poster && !this.#image.src) {
      this.#image.src = job.links.poster;
      this.#image.hidden = false;
      this.element.hidden = false;
      setText(this.#words, "First frame");
    }
    const newest = chunks.filter((chunk) => chunk.links?.preview).reduce(later, null);
    if (newest && !this.#isPicked) this.show(newest);
  }

  /** The chunk that a person chose stays. */
  pick(chunk) {
    this.#isPicked = true;
    this.show(chunk);
  }

  async show(chunk) {
    const key = `${chunk.phase}-${chunk.chunk_index}`;
    if (key === this.#shown) return;
    this.#shown = key;
    let found = null;
    try {
      found = chunk.links.people ? await ask(chunk.links.people) : null;
    } catch {
      // The film alone is something to see too.
    }
    if (key !== this.#shown || this.#gone) return;
    this.#people = found && { ...found, endSec: chunk.end_sec };
    this.#overlay ??= found && new Overlay({ review: { frameSize: found.frame_size }, picture: this.picture });
    this.#video.src = chunk.links.preview;
    this.element.hidden = false;
    this.#stop.hidden = false;
    const count = found ? `, ${found.people.length} ${found.people.length === 1 ? "person" : "people"}` : "";
    setText(this.#words, `Part ${chunk.chunk_index + 1}, from ${clock(chunk.start_sec)}${count}`);
    this.element.dataset.people = found ? found.people.length : "";
    this.#draw(0);
  }

  destroy() {
    this.#gone = true;
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  #toggle() {
    if (this.#video.paused) this.#video.play();
    else this.#video.pause();
  }

  #paintStop() {
    setText(this.#stop, this.#video.paused ? "Play" : "Stop");
  }

  #watch() {
    const shown = (_, { mediaTime }) => {
      if (this.#gone) return;
      this.#draw(mediaTime);
      this.#video.requestVideoFrameCallback(shown);
    };
    this.#video.requestVideoFrameCallback(shown);
  }

  #draw(mediaTime) {
    if (!this.#people || !this.#overlay) return;
    const atSec = this.#people.start_sec + mediaTime;
    const people = this.#people.people.flatMap(({ id, times_sec: times, boxes }) => {
      const at = indexAt(times, atSec + 0.01);
      return Math.abs(times[at] - atSec) < NEAR_SEC ? [{ id, box: boxes[at], followed: false }] : [];
    });
    this.#overlay.draw({ people, window: null });
  }
}

function later(best, chunk) {
  return best === null || Date.parse(chunk.completed_at) > Date.parse(best.completed_at) ? chunk : best;
}
