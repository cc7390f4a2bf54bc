// How far a job is: stage, bar and steps, which say the same; why it waits; how it ended.

import { advice } from "../core/advice.js";
import { fillAlert, h, setText } from "../core/dom.js";
import { FINAL, STEPS, parts, stageWords, timeLeft } from "../core/words.js";

const STEP_WORDS = ["Read", "Find people", "Plan camera", "Write film"];

export class Progress {
  constructor() {
    this.#stage = h("p", { id: "stage", class: "stage", role: "status" });
    this.#percent = h("p", { class: "percent", "aria-hidden": "true" });
    this.#bar = h("progress", { id: "bar", max: 100, "aria-labelledby": "stage" });
    this.#parts = h("span");
    this.#eta = h("span");
    this.#steps = h("ol", { class: "steps", "aria-label": "Steps" }, STEP_WORDS.map((words) => h("li", {}, words)));
    this.#why = h("p", { id: "hint", class: "note", role: "status", hidden: true });
    this.#failure = h("div", { id: "failure", class: "alert", role: "alert", hidden: true });
    this.#working = h("div", { id: "working" }, this.#bar, h("p", { class: "below-bar" }, this.#parts, this.#eta), this.#steps, this.#why);
    this.element = h("div", { class: "how-far" }, h("div", { class: "state" }, this.#stage, this.#percent), this.#working, this.#failure);
  }

  #stage;
  #percent;
  #bar;
  #parts;
  #eta;
  #steps;
  #why;
  #failure;
  #working;

  paint(job) {
    const over = FINAL.has(job.status);
    const waits = !over && (job.waiting || job.paused);
    setText(this.#stage, waits ? (job.paused ? "Paused" : "Waiting") : stageWords(job));
    this.#stage.className = `stage ${job.status}`;
    this.#working.hidden = over;
    this.#failure.hidden = job.status !== "failed";
    if (job.status === "failed") this.#paintFailure(job.error);
    const known = job.total_chunks !== null && job.total_chunks !== undefined;
    setText(this.#percent, over || !known ? "" : `${job.progress_pct} %`);
    if (known) this.#bar.value = job.progress_pct;
    else this.#bar.removeAttribute("value");
    setText(this.#parts, parts(job));
    setText(this.#eta, waits ? "" : timeLeft(job.eta_seconds));
    this.#steps.hidden = job.kind !== "crop"; // they are those of a crop
    this.#markSteps(STEPS[job.stage] ?? 0);
    setText(this.#why, job.waiting?.message ?? "");
    this.#why.hidden = !job.waiting;
  }

  #paintFailure(error) {
    const said = error?.message ?? "The job failed.";
    if (this.#failure.dataset.said === said) return; // a screen reader would say it anew
    this.#failure.dataset.said = said;
    fillAlert(this.#failure, said, error?.code);
    const help = error ? advice(error.code, error.retryable) : "";
    if (help) this.#failure.firstChild.after(h("p", { class: "advice" }, help));
  }

  #markSteps(current) {
    [...this.#steps.children].forEach((step, index) => {
      step.className = index < current ? "past" : "";
      if (index === current) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    });
  }
}
