// The window taken by the pointer: dragged in its middle, drawn larger or smaller by its corners and edges. And the way that
// its centre takes through the shot.

import { svg } from "../core/dom.js";
import { inside, resized } from "./keyframes.js";

const CORNERS = [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]]; // as shares of the window
const TAKEN_PX = 4; // less is a click on somebody
const COURSE_POINTS = 400;

export class Handles {
  /**
   * Over `overlay`. `windowNow()`: the window that is shown. `onDrag(window, how, event)` at each move, `onDrop(…)` at the end,
   * `onCancel()` when the drag was broken off; `how`: "move" or "zoom".
   */
  constructor(overlay, film, { windowNow, onDrag, onDrop, onCancel }) {
    this.#overlay = overlay;
    this.#film = film;
    this.#calls = { windowNow, onDrag, onDrop, onCancel };
    this.#course = svg("path", { class: "course" });
    this.#grips = CORNERS.map(([across, down]) =>
      svg("g", { class: "grip", dataset: { grip: `${across} ${down}` } }, svg("circle", { class: "reach" }), svg("rect", {})));
    overlay.element.append(this.#course, ...this.#grips);
    overlay.element.classList.add("editable");
    overlay.element.addEventListener("pointerdown", (event) => this.#take(event));
  }

  #overlay;
  #film;
  #calls;
  #course;
  #grips;

  /** `window`: as in Overlay.draw. */
  paint(window) {
    const unit = 1 / (this.#overlay.element.getScreenCTM()?.a || 1); // source pixels of one on the screen
    const reach = (matchMedia("(pointer: coarse)").matches ? 22 : 12) * unit;
    const [across, down] = this.#film.frameSize;
    this.#grips.forEach((grip, index) => {
      const [right, low] = CORNERS[index];
      const [circle, rect] = grip.children;
      const x = Math.max(reach, Math.min(across - reach, window.x + right * window.width));
      const y = Math.max(reach, Math.min(down - reach, window.y + low * window.height));
      set(circle, { cx: x, cy: y, r: reach });
      set(rect, { x: x - 5 * unit, y: y - 5 * unit, width: 10 * unit, height: 10 * unit, "stroke-width": 1.5 * unit });
    });
  }

  /** The way of the centre over the frames [start, stop) of a path. */
  paintCourse({ x, y, width, height }, [start, stop]) {
    const step = Math.max(1, Math.ceil((stop - start) / COURSE_POINTS));
    const points = [];
    for (let frame = start; frame < stop; frame += step) {
      points.push(`${(x[frame] + width[frame] / 2).toFixed(1)} ${(y[frame] + height[frame] / 2).toFixed(1)}`);
    }
    this.#course.setAttribute("d", points.length ? `M${points.join("L")}` : "");
  }

  #take(event) {
    if (event.button || !event.isPrimary) return;
    const at = this.#calls.windowNow();
    const from = this.#overlay.toSource(event);
    const isZoom = Boolean(event.target.closest("[data-grip]"));
    if (!isZoom && !isWithin(from, at)) return;
    const drag = { at, from, how: isZoom ? "zoom" : "move", x: event.clientX, y: event.clientY, isTaken: false };
    this.#follow(event.pointerId, drag);
  }

  #follow(pointerId, drag) {
    const { element } = this.#overlay;
    const ends = new AbortController();
    const on = (name, act) => window.addEventListener(name, (event) => event.pointerId === pointerId && act(event), { signal: ends.signal });
    on("pointermove", (event) => {
      const isTaken = drag.isTaken || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) >= TAKEN_PX;
      if (!isTaken) return;
      // Taken to itself now and not before: the end of a mere click belongs to whom it was on.
      if (!drag.isTaken) element.setPointerCapture(pointerId);
      drag.isTaken = true;
      this.#calls.onDrag(this.#dragged(drag, event), drag.how, event);
    });
    on("pointerup", (event) => {
      ends.abort();
      if (drag.isTaken) this.#calls.onDrop(this.#dragged(drag, event), drag.how, event);
    });
    on("pointercancel", () => {
      ends.abort();
      if (drag.isTaken) this.#calls.onCancel();
    });
  }

  #dragged({ at, from, how }, event) {
    const to = this.#overlay.toSource(event);
    if (how === "move") return inside(this.#film, { ...at, x: at.x + to.x - from.x, y: at.y + to.y - from.y });
    const centre = { x: at.x + at.width / 2, y: at.y + at.height / 2 };
    const shape = at.width / at.height;
    const grown = (point) => Math.max(Math.abs(point.x - centre.x), Math.abs(point.y - centre.y) * shape);
    return resized(this.#film, at, Math.max(8, at.width * (grown(to) / Math.max(1, grown(from)))));
  }
}

function isWithin({ x, y }, window) {
  return x >= window.x && x <= window.x + window.width && y >= window.y && y <= window.y + window.height;
}

function set(element, values) {
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
}
