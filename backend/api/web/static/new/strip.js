// Running uploads, said on the views that do not list them, and those that became jobs.

import { byId, h, setText } from "../core/dom.js";
import { bytes, timeLeft } from "../core/words.js";
import { uploads } from "./uploads.js";

let isListed = false; // the view New shows them itself

/** Begins to show them. `notice`: as the shell's. */
export function startStrip(notice) {
  const words = h("p");
  const bar = h("progress", { class: "small", max: 100, "aria-label": "All uploads" });
  const hold = h("button", { type: "button", class: "small", onclick: () => (isMoving() ? uploads.pauseAll() : uploads.resumeAll()) });
  const box = byId("uploads");
  box.append(h("div", { class: "upload-strip" }, words, bar, hold, h("a", { href: "#/new" }, "Show uploads")));

  paint = () => {
    const entries = uploads.list().filter((entry) => entry.isGoingOn || entry.state === "failed");
    box.hidden = isListed || !entries.length;
    if (box.hidden) return;
    setText(words, summary(entries));
    bar.value = percent(entries);
    hold.hidden = !entries.some((entry) => entry.isGoingOn);
    setText(hold, isMoving() ? "Pause" : "Go on");
  };

  uploads.onChange((entry) => {
    paint();
    if (isListed || !entry) return;
    if (entry.job) notice(`${entry.name} is uploaded and begins.`, { href: `#/jobs/${entry.job.id}` });
    else if (entry.problem) notice(`${entry.name}: ${entry.problem.message}`, { href: "#/new", link: "Show uploads" });
  });
  paint();
}

let paint = () => {};

/** The view New tells that it lists them (true), or no longer does. */
export function setListed(listed) {
  isListed = listed;
  paint();
}

const isMoving = () => uploads.list().some(({ state }) => ["waiting", "sending", "storing"].includes(state));

/** How far all of these are together, in percent. */
export function percent(entries) {
  const [sent, size] = ["sent", "size"].map((name) => entries.reduce((sum, entry) => sum + entry[name], 0));
  return size ? (100 * sent) / size : 0;
}

function summary(entries) {
  const failed = entries.filter(({ state }) => state === "failed").length;
  const going = entries.filter((entry) => entry.isGoingOn);
  const left = going.reduce((sum, { size, sent }) => sum + size - sent, 0);
  const speed = going.reduce((sum, entry) => sum + (entry.state === "sending" ? (entry.speed ?? 0) : 0), 0);
  const files = (count) => (count === 1 ? "1 file" : `${count} files`);
  return [
    going.length && (isMoving() ? `Uploading ${files(going.length)}, ${bytes(left)} left` : `${files(going.length)} paused, ${bytes(left)} left`),
    speed > 0 && left > 0 && timeLeft(left / speed),
    failed && `${files(failed)} not uploaded`,
  ].filter(Boolean).join(" · ");
}
