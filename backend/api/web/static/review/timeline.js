// The film at a glance: shots, where the subject does not fit, the camera's speed, a lane a person, keyframes.

import { h, svg } from "../core/dom.js";
import { clock } from "../core/words.js";
import { indexAt } from "./data.js";

const MOST_LANES = 12;
const ZOOMS = [1, 2, 4, 8, 16, 32];
const CURVE_POINTS = 600;

export class Timeline {
  constructor(review) {
    this.review = review;
    const { timesSec } = review;
    this.#endSec = timesSec[timesSec.length - 1] || 1;
    this.#cuts = new Set(review.shots.map(([start]) => start));
    this.#head = h("div", { class: "playhead", "aria-hidden": "true" });
    this.#range = h("input", {
      type: "range", class: "scrub", min: 0, max: timesSec.length - 1, step: 1, value: 0, "aria-label": "Frame",
      oninput: () => this.#seek(Number(this.#range.value)),
    });
    this.#curve = svg("path", { class: "curve", "vector-effect": "non-scaling-stroke" });
    this.#marks = h("div", { class: "lane marks" });
    this.#lanes = h(
      "div", { class: "lanes" },
      this.#shots(), this.#fit(), h("div", { class: "lane speed" }, svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, this.#curve)),
      this.#marks, ...this.#people(), this.#head,
    );
    this.#scroll = h("div", { class: "lanes-scroll" }, this.#lanes);
    this.element = h(
      "div", { class: "timeline" },
      h("div", { class: "timeline-bar" }, this.#range, this.#zoomButtons()),
      h("div", { class: "timeline-body" }, this.#names(), this.#scroll),
    );
    this.#lanes.addEventListener("pointerdown", (event) => this.#drag(event));
    this.setWindow(review.window);
    this.setMarks([]);
  }

  #endSec;
  #cuts; // the first frame of each shot
  #head;
  #range;
  #curve;
  #marks;
  #lanes;
  #scroll;
  #zoom = 0;
  #seekers = new Set();
  #markers = new Set();

  setFrame(frame) {
    const at = this.#share(frame);
    this.#head.style.left = `${100 * at}%`;
    this.#range.value = frame;
    this.#range.setAttribute("aria-valuetext", `${clock(this.review.timesSec[frame])}, frame ${frame}`);
    const { scrollLeft, clientWidth } = this.#scroll;
    const x = at * this.#lanes.clientWidth;
    if (this.#zoom && (x < scrollLeft || x > scrollLeft + clientWidth)) this.#scroll.scrollLeft = x - clientWidth / 3;
  }

  /** Draws the speed of another path. */
  setWindow({ x, y, width, height }) {
    const { timesSec } = this.review;
    const points = Math.min(CURVE_POINTS, timesSec.length);
    const speeds = new Float64Array(points);
    for (let frame = 1; frame < timesSec.length; frame += 1) {
      const moved = Math.hypot(
        x[frame] + width[frame] / 2 - x[frame - 1] - width[frame - 1] / 2,
        y[frame] + height[frame] / 2 - y[frame - 1] - height[frame - 1] / 2,
      );
      const at = Math.min(points - 1, Math.floor(this.#share(frame) * points));
      if (!this.#isCut(frame)) speeds[at] = Math.max(speeds[at], moved / (timesSec[frame] - timesSec[frame - 1] || 1));
    }
    const most = Math.max(this.review.frameSize[0] / 4, ...speeds); // a camera that stands nearly still looks so
    this.#curve.setAttribute("d", `M0 1${Array.from(speeds, (speed, at) => `L${at / points} ${1 - speed / most}`).join("")}L1 1`);
  }

  /** Keyframes: [{frame, id}]. */
  setMarks(marks) {
    this.#marks.replaceChildren(...marks.map(({ frame, id }) => this.#mark(frame, id)));
  }

  /** `tell(frame)` when somebody goes to a frame here. */
  onSeek(tell) {
    this.#seekers.add(tell);
    return () => this.#seekers.delete(tell);
  }

  /** `tell(id, frame)` when a keyframe was moved, with null when it was deleted. Without listeners none moves. */
  onMark(tell) {
    this.#markers.add(tell);
    return () => this.#markers.delete(tell);
  }

  #share(frame) {
    return this.review.timesSec[frame] / this.#endSec;
  }

  #isCut(frame) {
    return this.#cuts.has(frame);
  }

  #seek(frame) {
    for (const tell of this.#seekers) tell(frame);
  }

  #frameAt(event) {
    const { left, width } = this.#lanes.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - left) / width));
    return indexAt(this.review.timesSec, share * this.#endSec);
  }

  #drag(event) {
    if (event.button || event.target.closest("button")) return;
    this.#lanes.setPointerCapture(event.pointerId);
    const move = (moved) => this.#seek(this.#frameAt(moved));
    this.#lanes.addEventListener("pointermove", move);
    this.#lanes.addEventListener("pointerup", () => this.#lanes.removeEventListener("pointermove", move), { once: true });
    move(event);
  }

  #names() {
    const { tracks } = this.review;
    const more = tracks.length - MOST_LANES;
    return h(
      "div", { class: "lane-names" },
      h("span", {}, "Shots"), h("span", {}, "Fit"), h("span", {}, "Camera"), h("span", {}, "Keyframes"),
      this.#shown().map(({ id }) => h("span", { class: "person-name", dataset: { track: id } }, `Person ${id}`)),
      more > 0 && h("span", { class: "quiet" }, `${more} more`),
    );
  }

  #shown() {
    return this.review.tracks.slice(0, MOST_LANES);
  }

  #block(start, stop, className, title) {
    const block = h("span", { class: className, title });
    const left = this.#share(start);
    const right = stop >= this.review.timesSec.length ? 1 : this.#share(stop);
    block.style.left = `${100 * left}%`;
    block.style.width = `${100 * (right - left)}%`;
    return block;
  }

  #shots() {
    return h("div", { class: "lane shots" }, this.review.shots.map(([start, stop], index) => this.#block(start, stop, "shot", `Shot ${index}`)));
  }

  #fit() {
    const { largerFrames } = this.review;
    return h("div", { class: "lane fit" }, largerFrames.map(([start, stop]) => this.#block(start, stop, "larger", "The subject is larger than the window")));
  }

  #people() {
    const followed = new Set(this.review.subjectIds);
    return this.#shown().map(({ id, firstFrame, lastFrame }) =>
      h("div", { class: "lane person" }, this.#block(firstFrame, lastFrame + 1, followed.has(id) ? "presence followed" : "presence", `Person ${id}`)));
  }

  #mark(frame, id) {
    const at = clock(this.review.timesSec[frame]);
    const mark = h("button", { type: "button", class: "mark", title: `Keyframe at ${at}`, "aria-label": `Keyframe at ${at}` });
    mark.style.left = `${100 * this.#share(frame)}%`;
    mark.addEventListener("click", () => this.#seek(frame));
    mark.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const last = this.review.timesSec.length - 1;
      if (event.key === "Delete" || event.key === "Backspace") this.#tellMark(id, null);
      else if (steps) this.#tellMark(id, Math.max(0, Math.min(last, frame + steps * (event.shiftKey ? 10 : 1))));
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    mark.addEventListener("pointerdown", (event) => this.#dragMark(event, mark, id));
    return mark;
  }

  #dragMark(event, mark, id) {
    if (event.button || !this.#markers.size) return;
    mark.setPointerCapture(event.pointerId);
    let to = null;
    const move = (moved) => {
      to = this.#frameAt(moved);
      mark.style.left = `${100 * this.#share(to)}%`;
    };
    mark.addEventListener("pointermove", move);
    mark.addEventListener("pointerup", () => {
      mark.removeEventListener("pointermove", move);
      if (to !== null) this.#tellMark(id, to);
    }, { once: true });
  }

  #tellMark(id, frame) {
    for (const tell of this.#markers) tell(id, frame);
  }

  #zoomButtons() {
    const turn = (by) => () => {
      this.#zoom = Math.max(0, Math.min(ZOOMS.length - 1, this.#zoom + by));
      this.#lanes.style.width = `${100 * ZOOMS[this.#zoom]}%`;
      this.setFrame(Number(this.#range.value));
    };
    return h(
      "div", { class: "actions" },
      h("button", { type: "button", class: "icon small", "aria-label": "Show less of the timeline", onclick: turn(1) }, "+"),
      h("button", { type: "button", class: "icon small", "aria-label": "Show more of the timeline", onclick: turn(-1) }, "−"),
    );
  }
}
