// The versions of a job: what differs, how far they are, and two of them side by side.

import { getJob, jobUrl, reread } from "../core/api.js";
import { fillAlert, h, keyed, setText } from "../core/dom.js";
import { poll } from "../core/poll.js";
import { FINAL, ago, shortStatus } from "../core/words.js";
import { Comparison } from "./comparison.js";
import { changeWords } from "./difference.js";
import { differing } from "./edits.js";

const IDLE_MS = 20_000;

/** `{element, refresh(), unmount()}`: all of the job's family. */
export function versionsOf(job) {
  const list = h("ul", { class: "versions" });
  const trouble = h("div", { class: "alert", role: "alert", hidden: true });
  const compare = h("button", { type: "button", disabled: true, onclick: () => showComparison() }, "Compare two");
  const place = h("div", {});
  const element = h("section", { class: "card", "aria-labelledby": "versions-title" },
    h("h2", { id: "versions-title" }, "Versions"), trouble, list, h("div", { class: "actions" }, compare), place);
  let family = [];
  let comparison = null;
  const picked = new Set();

  const reading = poll(() => reread(`${jobUrl(job.id)}/versions`), show, (problem) => {
    if (problem) fillAlert(trouble, problem.message, problem.code);
    else trouble.hidden = true;
  }, { pauseMs: () => (family.every((each) => FINAL.has(each.status)) ? IDLE_MS : 1000) });

  function show({ jobs }) {
    family = jobs;
    keyed(list, jobs, (each) => each.id, make, update);
    countPicked();
  }

  function make(each) {
    const box = h("input", { type: "checkbox", "aria-label": `Compare version ${each.version}`, onchange: () => {
      if (box.checked) picked.add(each.id);
      else picked.delete(each.id);
      countPicked();
    } });
    return h("li", {}, box, h("a", { href: `#/jobs/${each.id}` }, `Version ${each.version}`),
      h("span", { class: "badge" }), h("span", { class: "what" }), h("span", { class: "quiet when" }), h("span", { class: "film" }));
  }

  function update(item, each) {
    const [box, , badge, what, when, film] = item.children;
    const isDone = each.status === "done";
    box.disabled = !isDone;
    setText(badge, shortStatus(each));
    badge.className = `badge ${{ done: "done", failed: "failed" }[each.status] ?? "active"}`;
    setText(what, wordsOf(each));
    setText(when, ago(each.created_at));
    if (isDone && !film.childElementCount) film.append(h("a", { href: `${jobUrl(each.id)}/output` }, "Film"));
    if (each.id === job.id) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
  }

  function wordsOf(each) {
    const first = family[0];
    return each.id === first.id ? "the first" : changeWords(differing(first.params, each.params), "the same as the first");
  }

  function countPicked() {
    compare.disabled = picked.size !== 2;
  }

  async function showComparison() {
    comparison?.destroy();
    const pair = family.filter((each) => picked.has(each.id));
    trouble.hidden = true;
    try {
      comparison = new Comparison(await Promise.all(pair.map((each) => getJob(each.id))));
      place.replaceChildren(comparison.element);
      await comparison.ready;
    } catch (problem) {
      fillAlert(trouble, problem.message, problem.code);
    }
  }

  return {
    element,
    refresh: reading.now,
    unmount() {
      reading.stop();
      comparison?.destroy();
    },
  };
}
