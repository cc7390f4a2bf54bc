// One job of the list: its row, and how it is brought up to date. A stranger's words go in as text.

import { h, setText, svg } from "../core/dom.js";
import { menuButton } from "../core/menu.js";
import { FINAL, ago, duration, kindWords, parts, stageWords, timeLeft } from "../core/words.js";
import { advice } from "../core/advice.js";
import { isCancelling } from "./cancel.js";

/** `acts`: {main(job), menu(job)} from actions.js; `onSelect(job, event)`. Returns the row; `paintRow` fills it. */
export function makeRow(job, acts, onSelect) {
  const row = h(
    "tr",
    { role: "row", class: "job-row" },
    h("td", { role: "cell", class: "pick" }, h("input", { type: "checkbox", onclick: (event) => onSelect(row.job, event) })),
    h("td", { role: "cell", class: "what" }, h("div", { class: "pair" }, h("div", { class: "picture" }), h("div", {},
      h("a", { class: "name", dir: "auto", href: `#/jobs/${job.id}` }), h("p", { class: "quiet facts" })))),
    h("td", { role: "cell", class: "condition" },
      h("p", {}, h("span", { class: "badge" }), " ", h("span", { class: "quiet far" })),
      h("progress", { class: "small", max: 100 }), h("p", { class: "why", dir: "auto" })),
    h("td", { role: "cell", class: "when" }, h("time", { datetime: job.created_at })),
    h("td", { role: "cell", class: "do" }, h("button", { type: "button", class: "small", onclick: () => row.act() }),
      menuButton("", () => acts.menu(row.job))),
  );
  return row;
}

/** Writes what changed. `selected`: whether it is picked. */
export function paintRow(row, job, acts, selected) {
  const cancelling = isCancelling(job.id);
  row.querySelector("input").checked = selected;
  row.classList.toggle("selected", selected);
  setText(row.querySelector("time"), ago(job.created_at));
  if (row.job === job && row.cancelling === cancelling) return;
  row.job = job;
  row.cancelling = cancelling;
  setText(row.querySelector(".name"), job.input.name);
  setText(row.querySelector(".facts"), rowFacts(job));
  for (const [selector, words] of [["input", `Pick ${job.input.name}`], [".menu button", `More for ${job.input.name}`]]) {
    row.querySelector(selector).setAttribute("aria-label", words);
  }
  paintPicture(row.querySelector(".picture"), job);
  paintState(row, job, cancelling);
  const main = cancelling ? null : acts.main(job);
  const button = row.querySelector(".do > button");
  button.hidden = !main;
  row.act = main?.act;
  if (!main) return;
  setText(button, main.words);
  button.setAttribute("aria-label", `${main.words}: ${job.input.name}`);
}

/** "films.example · 1920 × 1080 · 1 min 3 s · 1f9872a9": what tells two of the same name apart. */
function rowFacts(job) {
  const { video } = job;
  const said = [hostOf(job.input), kindWords(job.kind)];
  if (video?.width) said.push(`${video.width} × ${video.height}`);
  const seconds = video?.duration_seconds ?? job.sound?.duration_seconds;
  if (seconds) said.push(duration(seconds));
  if (job.version_of) said.push(`version ${job.version} of ${job.version_of.slice(0, 8)}`);
  said.push(job.id.slice(0, 8));
  return said.filter(Boolean).map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · ");
}

function hostOf({ uri, host }) {
  if (host) return host;
  const found = /^(?:https?|s3|gs):\/\/([^/?#]+)/.exec(uri ?? "");
  return host === null || !found ? "uploaded" : found[1];
}

function paintPicture(box, job) {
  const src = job.links.poster ?? "";
  if (box.dataset.src === src && box.firstChild) return;
  box.dataset.src = src;
  const drawn = () => box.replaceChildren(placeholder());
  if (!src) return drawn();
  box.replaceChildren(h("img", { class: "thumb", src, alt: "", width: 96, height: 60, loading: "lazy", decoding: "async", onerror: drawn }));
}

function placeholder() {
  return svg("svg", { class: "thumb placeholder", viewBox: "0 0 32 28", "aria-hidden": "true" },
    svg("rect", { x: 2, y: 4, width: 28, height: 20, rx: 3 }), svg("path", { d: "M13 10v8l7-4z" }));
}

function paintState(row, job, cancelling) {
  const badge = row.querySelector(".badge");
  const { words, style } = cancelling ? { words: "Cancelling", style: "" } : stateOf(job);
  setText(badge, words);
  badge.className = `badge ${style}`;
  const works = !FINAL.has(job.status) && !cancelling;
  const bar = row.querySelector("progress");
  bar.hidden = !works || job.progress_pct === 0;
  bar.value = job.progress_pct;
  bar.setAttribute("aria-label", `Progress of ${job.input.name}`);
  const eta = works && !job.waiting && !job.paused ? timeLeft(job.eta_seconds) : "";
  setText(row.querySelector(".far"), works && job.progress_pct ? [`${job.progress_pct} %`, eta].filter(Boolean).join(" · ") : "");
  const why = row.querySelector(".why");
  setText(why, cancelling ? "" : whyOf(job));
  why.className = job.status === "failed" ? "why bad" : "why quiet";
}

function stateOf(job) {
  if (FINAL.has(job.status)) return { words: { done: "Done", failed: "Failed", cancelled: "Cancelled" }[job.status], style: job.status };
  if (job.paused) return { words: "Paused", style: "" };
  if (job.waiting) return { words: "Waiting", style: "waiting" };
  return { words: stageWords(job), style: "active" };
}

/** Why it stands still or ended; else how far its parts are. */
function whyOf(job) {
  if (job.status === "failed") return job.error ? `${job.error.message} ${advice(job.error.code, job.error.retryable)}` : "";
  return job.waiting?.message ?? parts(job);
}
