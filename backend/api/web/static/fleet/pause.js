// Pauses all workers, with a reason, and lets them go on.

import { fillAlert, h, setText } from "../core/dom.js";
import { ask, posted } from "../core/api.js";
import { askInDialog } from "../core/dialog.js";
import { ago } from "../core/words.js";

const FLEET = "/api/v1/fleet";
const MAX_REASON = 500;

export class PausePanel {
  #words = h("p", { class: "grow", role: "status", dir: "auto" });
  #button = h("button", { type: "button", onclick: () => (this.#state?.paused ? this.#resume() : this.#pause()) }, "Pause…");
  #alert = h("div", { class: "alert", role: "alert", hidden: true });
  #state = null;

  constructor(app) {
    this.app = app;
    this.element = h("section", { class: "card fleet-pause", "aria-label": "Pause and resume" }, h("div", { class: "toolbar" }, this.#words, this.#button), this.#alert);
    this.paint();
  }

  /** As the status has it that all views share. */
  paint(state = this.app.status()) {
    if (!state) return;
    this.#state = state;
    setText(this.#words, words(state));
    setText(this.#button, state.paused ? "Resume" : "Pause…");
    this.#button.className = state.paused ? "primary" : "";
    this.element.classList.toggle("paused", state.paused);
  }

  async #pause() {
    const reason = h("input", { type: "text", id: "pause-reason", maxlength: MAX_REASON, autocomplete: "off", "aria-describedby": "pause-hint" });
    const fields = h("div", { class: "field" }, h("label", { for: "pause-reason" }, "Why? (everybody is shown it)"), reason,
      h("p", { class: "hint", id: "pause-hint" }, "No worker begins anything new. What is in work goes on to its end."));
    const act = () => ask(`${FLEET}/pause`, posted(reason.value.trim() ? { reason: reason.value.trim() } : {}));
    this.#changed(await askInDialog({ title: "Pause the whole fleet?", fields, button: "Pause", act }));
    this.#button.focus();
  }

  async #resume() {
    this.#button.disabled = true;
    this.#alert.hidden = true;
    try {
      this.#changed(await ask(`${FLEET}/resume`, { method: "POST" }));
    } catch (problem) {
      fillAlert(this.#alert, problem.message, problem.code);
    } finally {
      this.#button.disabled = false;
      this.#button.focus();
    }
  }

  #changed(state) {
    if (!state) return;
    this.paint(state);
    this.app.refresh();
  }
}

function words({ paused, paused_at: at, paused_by: by, reason }) {
  if (!paused) return "Work goes on: workers take what is due.";
  return `Paused${by ? ` by ${by}` : ""}${at ? `, ${ago(at)}` : ""}${reason ? `: ${reason}` : "."}`;
}
