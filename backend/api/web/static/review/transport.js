// Play, steps, speed and time of a player, by buttons and by keys.

import { h, setText } from "../core/dom.js";
import { clock } from "../core/words.js";

const RATES = [0.25, 0.5, 1, 1.5, 2];
const KEYS_HELP = "Space or K plays, ← → step a frame, with Shift ten, J and L slower and faster, Home and End go to the ends.";

export class Transport {
  constructor(player) {
    this.#player = player;
    this.#play = h("button", { type: "button", class: "primary play", onclick: () => this.#toggle() }, "Play");
    this.#where = h("output", { class: "where" });
    this.#rate = h(
      "select", { "aria-label": "Speed", onchange: () => player.setRate(Number(this.#rate.value)) },
      RATES.map((rate) => h("option", { value: rate, selected: rate === 1 }, `${rate} ×`)),
    );
    this.element = h(
      "div", { class: "transport toolbar", role: "group", "aria-label": "Player" },
      this.#play,
      h("button", { type: "button", class: "icon", "aria-label": "One frame back", onclick: () => player.step(-1) }, "‹"),
      h("button", { type: "button", class: "icon", "aria-label": "One frame on", onclick: () => player.step(1) }, "›"),
      this.#rate, this.#where, h("span", { class: "quiet grow keys" }, KEYS_HELP),
    );
    player.onFrame((frame) => this.#paint(frame));
    this.#paint(player.frame);
  }

  #player;
  #play;
  #where;
  #rate;

  /** Whether the key was one of its own. Keys of controls that have the focus are theirs. */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return false;
    if (event.key === " " && event.target.closest("button, a, summary")) return false;
    const last = this.#player.review.timesSec.length - 1;
    const steps = event.shiftKey ? 10 : 1;
    const acts = {
      " ": () => this.#toggle(),
      k: () => this.#toggle(),
      ArrowLeft: () => this.#player.step(-steps),
      ArrowRight: () => this.#player.step(steps),
      Home: () => this.#player.step(-last),
      End: () => this.#player.step(last),
      j: () => this.#faster(-1),
      l: () => this.#faster(1),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return false;
    event.preventDefault();
    act();
    return true;
  }

  #toggle() {
    if (this.#player.paused) this.#player.play();
    else this.#player.pause();
  }

  #faster(by) {
    const at = RATES.indexOf(Number(this.#rate.value)) + by;
    if (at < 0 || at >= RATES.length) return;
    this.#rate.value = RATES[at];
    this.#player.setRate(RATES[at]);
  }

  #paint(frame) {
    const { timesSec } = this.#player.review;
    setText(this.#play, this.#player.paused ? "Play" : "Pause");
    setText(this.#where, `${clock(timesSec[frame])} of ${clock(timesSec[timesSec.length - 1])} · frame ${frame}`);
  }
}
