// The window moved by keys: an element that takes the focus, and says where the window is.

import { h } from "../core/dom.js";
import { resized } from "./keyframes.js";

const HELP = "Arrow keys move the window by a pixel, with Shift by ten. Plus and minus zoom. P pins it here, Delete takes the keyframe away, [ and ] go to the next one.";

/**
 * `act`: {windowNow(), film, moved(window, how, event), pinned(event), unpinned(event), toKeyframe(by)}; `how`: "move" or "zoom".
 */
export class ByKeys {
  constructor(act) {
    this.#act = act;
    this.#where = h("output", { "aria-live": "polite" });
    this.element = h("div", { class: "by-keys", tabindex: 0, role: "application", "aria-label": "Window", "aria-describedby": "by-keys-help" },
      h("b", {}, "Window"), this.#where, h("span", { id: "by-keys-help", class: "quiet" }, HELP));
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  #act;
  #where;

  paint({ x, y, width, height }, isPinned) {
    const words = `${Math.round(x + width / 2)}, ${Math.round(y + height / 2)} · ${Math.round(width)} × ${Math.round(height)} px${isPinned ? " · keyframe" : ""}`;
    if (this.#where.textContent !== words) this.#where.textContent = words;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { windowNow, film, moved, pinned, unpinned, toKeyframe } = this.#act;
    const by = event.shiftKey ? 10 : 1;
    const shift = (x, y) => () => moved({ ...windowNow(), x: windowNow().x + x * by, y: windowNow().y + y * by }, "move", event);
    const zoom = (change) => () => moved(resized(film, windowNow(), Math.max(8, windowNow().width + change)), "zoom", event);
    const acts = {
      ArrowLeft: shift(-1, 0), ArrowRight: shift(1, 0), ArrowUp: shift(0, -1), ArrowDown: shift(0, 1),
      "+": zoom(-4), "=": zoom(-4), "-": zoom(4), p: () => pinned(event), P: () => pinned(event),
      Delete: () => unpinned(event), Backspace: () => unpinned(event), "[": () => toKeyframe(-1), "]": () => toKeyframe(1),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }
}
