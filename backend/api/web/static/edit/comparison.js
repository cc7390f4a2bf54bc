// Two versions side by side in sync, and what differs in words and figures. Their frames have the same times.

import { ask, jobUrl } from "../core/api.js";
import { h, setText } from "../core/dom.js";
import { clock } from "../core/words.js";
import { changeWords, figureRows } from "./difference.js";
import { differing } from "./edits.js";

const FAR_SEC = 0.15;

export class Comparison {
  /** `jobs`: two that are done, of one family. `ready` rejects with a Problem where their figures cannot be had. */
  constructor(jobs) {
    this.#videos = jobs.map((job) => h("video", { src: `${jobUrl(job.id)}/output`, playsinline: true, preload: "auto", "aria-label": `Version ${job.version}` }));
    this.#videos[1].muted = true;
    this.#play = h("button", { type: "button", onclick: () => this.#toggle() }, "Play both");
    this.#scrub = h("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "Time", oninput: () => this.#seek(this.#scrub.valueAsNumber) });
    this.#table = h("tbody", {});
    const [one, other] = jobs;
    this.element = h("div", { class: "comparison", role: "group", "aria-label": `Versions ${one.version} and ${other.version}` },
      h("p", {}, `Version ${other.version} against version ${one.version}: ${changeWords(differing(one.params, other.params))}.`),
      h("div", { class: "pair" }, jobs.map((job, index) => h("figure", {}, this.#videos[index], h("figcaption", {}, `Version ${job.version}`)))),
      h("div", { class: "toolbar" }, this.#play, h("span", { class: "grow" }, this.#scrub)),
      h("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": "Figures" },
        h("table", { class: "table" },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Of the frames"), jobs.map((job) => h("th", { class: "number", scope: "col" }, `Version ${job.version}`)))),
          this.#table)));
    this.#watch();
    this.ready = this.#load(jobs);
  }

  #videos;
  #play;
  #scrub;
  #table;

  destroy() {
    for (const video of this.#videos) {
      video.removeAttribute("src");
      video.load();
    }
  }

  async #load(jobs) {
    const [one, other] = await Promise.all(jobs.map((job) => ask(job.links["camera-path"])));
    this.#table.append(...figureRows(one.certificate, other.certificate).map(([words, ...figures]) =>
      h("tr", {}, h("th", { scope: "row" }, words), figures.map((figure) => h("td", { class: "number" }, figure)))));
  }

  #watch() {
    const [leader, follower] = this.#videos;
    leader.addEventListener("loadedmetadata", () => (this.#scrub.max = leader.duration));
    leader.addEventListener("timeupdate", () => {
      this.#scrub.value = leader.currentTime;
      this.#scrub.setAttribute("aria-valuetext", clock(leader.currentTime));
      if (!leader.paused && Math.abs(follower.currentTime - leader.currentTime) > FAR_SEC) follower.currentTime = leader.currentTime;
    });
    leader.addEventListener("pause", () => this.#stopped());
    leader.addEventListener("play", () => setText(this.#play, "Pause both"));
  }

  #toggle() {
    const [leader, follower] = this.#videos;
    if (!leader.paused) return leader.pause();
    follower.currentTime = leader.currentTime;
    return Promise.all([leader.play(), follower.play()]);
  }

  #stopped() {
    setText(this.#play, "Play both");
    const [leader, follower] = this.#videos;
    follower.pause();
    follower.currentTime = leader.currentTime;
  }

  #seek(sec) {
    for (const video of this.#videos) video.currentTime = sec;
  }
}
