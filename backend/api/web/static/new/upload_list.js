// Uploads as rows: how far they are, and what a person can do about each.

import { askInDialog } from "../core/dialog.js";
import { fillAlert, h, keyed, setText } from "../core/dom.js";
import { bytes, timeLeft } from "../core/words.js";
import { uploads } from "./uploads.js";

/** {element, paint()}: a section that is hidden while there is none. */
export function uploadList() {
  const rows = h("ul", { class: "uploads" });
  const all = h("button", { type: "button", class: "small", onclick: () => (uploads.list().some(moves) ? uploads.pauseAll() : uploads.resumeAll()) });
  const element = h("section", { class: "card uploads-card", "aria-labelledby": "uploads-title", hidden: true },
    h("div", { class: "uploads-head" }, h("h2", { id: "uploads-title", tabindex: -1 }, "Uploads"), all), rows);

  function paint() {
    const entries = uploads.list();
    const hadFocus = rows.contains(document.activeElement);
    keyed(rows, entries, (entry) => entry.number, makeRow, paintRow);
    element.hidden = !entries.length;
    all.hidden = entries.filter((entry) => entry.isGoingOn).length < 2;
    setText(all, entries.some(moves) ? "Pause all" : "Go on with all");
    if (hadFocus && document.activeElement === document.body) element.querySelector("h2").focus(); // its row has gone
  }

  return { element, paint };
}

const moves = (entry) => entry.state === "sending" || entry.state === "waiting";

function makeRow(entry) {
  const label = (words) => `${words}: ${entry.name}`;
  const button = (role, words, act) =>
    h("button", { type: "button", class: "small", dataset: { role }, "aria-label": label(words), onclick: act }, words);
  const title = `upload-${entry.number}`;
  const row = h("li", { class: "upload", "aria-labelledby": title },
    h("div", { class: "upload-picture" }, entry.picture),
    h("div", { class: "upload-facts" },
      h("p", { id: title, class: "name", dir: "auto" }, entry.name),
      h("progress", { class: "small", max: 100, "aria-labelledby": title }),
      h("p", { class: "below-bar" }, h("span", { dataset: { role: "amount" } }), h("span", { dataset: { role: "eta" } })),
      h("p", { class: "note", role: "status", dataset: { role: "trouble" }, hidden: true }),
      h("div", { class: "alert", role: "alert", dataset: { role: "problem" }, hidden: true })),
    h("div", { class: "actions" },
      button("pause", "Pause", () => uploads.pause(entry)),
      button("resume", "Go on", () => uploads.resume(entry)),
      button("retry", "Try again", () => uploads.retry(entry)),
      button("discard", "Discard", () => askAndDiscard(entry)),
      h("a", { class: "button small", hidden: true, dataset: { role: "open" } }, "Open the job"),
      button("dismiss", "Hide", () => uploads.dismiss(entry))));
  return row;
}

function paintRow(row, entry) {
  const part = (role) => row.querySelector(`[data-role="${role}"]`);
  const { state, sent, size, speed, problem } = entry;
  row.dataset.state = state;
  const bar = row.querySelector("progress");
  if (state === "storing") bar.removeAttribute("value");
  else bar.value = state === "done" ? 100 : (100 * sent) / size;
  setText(part("amount"), amount(entry));
  setText(part("eta"), state === "sending" && speed ? timeLeft((size - sent) / speed) : "");
  part("trouble").hidden = !entry.trouble || !["sending", "storing"].includes(state);
  setText(part("trouble"), entry.trouble);
  if (problem && part("problem").hidden) fillAlert(part("problem"), problem.message, problem.code);
  part("problem").hidden = !problem;
  const shown = { waiting: ["pause", "discard"], sending: ["pause", "discard"], paused: ["resume", "discard"], storing: ["discard"],
    failed: ["retry", "discard"], done: ["open", "dismiss"] }[state];
  swapButtons(row, shown);
  if (entry.job) part("open").href = `#/jobs/${entry.job.id}`;
}

/** A button that goes hands the focus to the one that comes in its place. */
function swapButtons(row, shown) {
  const focused = document.activeElement;
  for (const each of row.querySelectorAll(".actions > *")) each.hidden = !shown.includes(each.dataset.role);
  if (row.contains(focused) && focused.hidden) row.querySelector(".actions > :not([hidden])").focus();
}

function amount({ state, sent, size, speed }) {
  if (state === "done") return `${bytes(size)} uploaded`;
  if (state === "storing") return `${bytes(size)} sent. Storing the video`;
  const there = `${bytes(sent)} of ${bytes(size)}`;
  if (state === "waiting") return `${sent ? there : bytes(size)} · waiting for others`;
  if (state === "paused") return `${there} · paused`;
  return `${there}${speed && state === "sending" ? ` · ${bytes(speed)}/s` : ""}`;
}

/** What arrived took time: nothing of it goes by a slip. */
async function askAndDiscard(entry) {
  if (!entry.sent) return uploads.discard(entry);
  await askInDialog({
    title: "Discard this upload?",
    fields: h("p", {}, h("span", { class: "name", dir: "auto" }, entry.name), `: ${bytes(entry.sent)} that arrived are thrown away.`),
    button: "Discard",
    danger: true,
    act: async () => (uploads.discard(entry), true),
  });
}
