// Drawn over the source: people with their ids, the window, and what is dimmed outside of it. All in source pixels.

import { svg } from "../core/dom.js";

export class Overlay {
  /** Lies over the player's source picture. */
  constructor(player) {
    const [width, height] = player.review.frameSize;
    this.frameSize = [width, height];
    this.#people = svg("g", { class: "people" });
    this.#shade = svg("path", { class: "shade", "fill-rule": "evenodd" });
    this.#window = svg("rect", { class: "window" });
    this.#panels = svg("g", { class: "panels" });
    this.element = svg(
      "svg",
      { class: "overlay", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", "aria-hidden": "true" },
      this.#shade, this.#people, this.#panels, this.#window,
    );
    this.#unit = width / 640; // about a pixel of the page
    this.element.style.setProperty("--unit", `${this.#unit}px`);
    player.picture.append(this.element);
    this.element.addEventListener("click", (event) => {
      const id = event.target.closest("[data-track]")?.dataset.track;
      if (id !== undefined) for (const tell of this.#pickers) tell(Number(id), event);
    });
  }

  #people;
  #shade;
  #window;
  #panels;
  #unit;
  #pickers = new Set();

  /** `people`: [{id, box, followed}]; `window`: {x, y, width, height} or null, `panels` as many more
   * as the picture is split into; `keyframe`: whether one is pinned here. */
  draw({ people, window: at, panels = [], keyframe = false }) {
    const [width, height] = this.frameSize;
    this.#window.setAttribute("visibility", at ? "visible" : "hidden");
    this.#shade.setAttribute("visibility", at ? "visible" : "hidden");
    if (at) {
      place(this.#window, at);
      this.#window.classList.toggle("pinned", keyframe);
      this.#shade.setAttribute("d", `M0 0H${width}V${height}H0Z${hole(at)}`);
      // Panels may lie over one another, where an even-odd path would dim what both show.
      if (panels.length) this.#shade.setAttribute("visibility", "hidden");
    }
    this.#panels.replaceChildren(...panels.map((each) => place(svg("rect", { class: "window" }), each)));
    const there = [...this.#people.children];
    people.forEach((person, index) => this.#drawPerson(there[index] ?? this.#makePerson(), person));
    for (const spare of there.slice(people.length)) spare.remove();
  }

  /** Where an event is, in source pixels. */
  toSource(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.element.getScreenCTM().inverse());
    return { x: point.x, y: point.y };
  }

  /** `tell(trackId, event)` when somebody's box is clicked. Returns what ends it. */
  onPick(tell) {
    this.#pickers.add(tell);
    this.element.classList.add("pickable");
    return () => this.#pickers.delete(tell);
  }

  #makePerson() {
    const size = 13 * this.#unit;
    const group = svg("g", {}, svg("rect", { class: "box" }), svg("rect", { class: "tag" }), svg("text", { "font-size": size }));
    this.#people.append(group);
    return group;
  }

  #drawPerson(group, { id, box: [left, top, right, bottom], followed }) {
    const [box, tag, text] = group.children;
    const unit = this.#unit;
    group.dataset.track = id;
    group.setAttribute("class", followed ? "person followed" : "person");
    place(box, { x: left, y: top, width: right - left, height: bottom - top });
    const words = String(id);
    const tagTop = Math.max(0, top - 18 * unit);
    place(tag, { x: left, y: tagTop, width: (words.length * 8 + 10) * unit, height: 18 * unit });
    text.setAttribute("x", left + 5 * unit);
    text.setAttribute("y", tagTop + 13.5 * unit);
    if (text.textContent !== words) text.textContent = words;
  }
}

const hole = ({ x, y, width, height }) => `M${x} ${y}h${width}v${height}h${-width}Z`;

function place(rect, { x, y, width, height }) {
  rect.setAttribute("x", x);
  rect.setAttribute("y", y);
  rect.setAttribute("width", Math.max(0, width));
  rect.setAttribute("height", Math.max(0, height));
  return rect;
}
