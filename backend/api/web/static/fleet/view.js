// The view Fleet: who works on what, how the queue stands and stood, what failed; pause and resume.

import { h, setText } from "../core/dom.js";
import { reread } from "../core/api.js";
import { poll } from "../core/poll.js";
import { listed } from "../core/words.js";
import { FailedJobs } from "./failed.js";
import { Figures } from "./figures.js";
import { HistoryChart } from "./history.js";
import { Lanes } from "./lanes.js";
import { PausePanel } from "./pause.js";
import { Workers } from "./workers.js";

const FLEET = "/api/v1/fleet";
// One question at a time, and with the shell's own status fewer than one a second.
const TURN_MS = 1200;
const TIMES_MS = 30_000; // "5 minutes ago" goes on

export function mount(root, params, app) {
  app.title("Fleet");
  const said = h("p", { class: "lead", role: "status" });
  const trouble = h("p", { class: "alert", role: "alert", hidden: true });
  const refused = h("div", { class: "card", hidden: true },
    h("h2", {}, "This is for whoever runs the fleet"),
    h("p", {}, "Your key lets you see your own jobs, not the machines that all work on. A key with the scope ",
      h("code", {}, "fleet:admin"), " does: ", h("code", {}, "framefleet keys create NAME --scope fleet:admin"), "."),
    h("p", {}, h("a", { href: "#/jobs" }, "See your jobs")));

  const pause = new PausePanel(app);
  const workers = new Workers();
  const lanes = new Lanes();
  const chart = new HistoryChart(() => ask(queue));
  const figures = new Figures();
  const failed = new FailedJobs(app, () => ask(chunks));
  const whole = h("div", {}, pause.element, workers.element, lanes.element, chart.element, failed.element, figures.element);
  root.append(h("h1", { tabindex: -1 }, "Fleet"), said, trouble, refused, whole);

  const heard = {};
  const crew = { everyMs: 3000, dueAt: 0, path: () => "/api/v1/workers", show: (answer) => workers.show((heard.workers = answer.workers)) };
  const queue = { everyMs: 6000, dueAt: 0, path: () => `${FLEET}/queue?hours=${chart.hours}`, show: showQueue };
  const chunks = { everyMs: 8000, dueAt: 0, path: () => `${FLEET}/failed-chunks`, show: (answer) => failed.show(answer.chunks) };
  const sources = [crew, queue, chunks];

  function showQueue(answer) {
    heard.figures = answer.figures;
    lanes.show(answer.lanes);
    chart.show(answer.history);
    figures.show(answer.figures);
  }

  /** Reads what is overdue the longest; at first, all of it at once. */
  async function read() {
    const due = sources.some((each) => each.dueAt === 0) ? sources : [sources.reduce((a, b) => (a.dueAt <= b.dueAt ? a : b))];
    for (const source of due) source.isAsked = false;
    return Promise.all(due.map(async (source) => [source, await reread(source.path())]));
  }

  function show(answers) {
    for (const [source, answer] of answers) {
      source.dueAt = source.isAsked ? 1 : Date.now() + source.everyMs;
      if (source.shown === answer) continue; // 304: the very same object
      source.shown = answer;
      source.show(answer);
    }
    setText(said, summary(heard));
  }

  function onTrouble(problem) {
    trouble.hidden = problem === null;
    if (problem === null) return true;
    if (problem.code !== "scope_missing") return void setText(trouble, `What is shown may be old. ${problem.message}`);
    trouble.hidden = whole.hidden = true;
    refused.hidden = false;
    return false;
  }

  function ask(source) {
    source.dueAt = 1; // before all others, and not all anew
    source.isAsked = true; // also while an earlier answer is on its way
    polling.now();
  }

  const pauseMs = () => Math.max(TURN_MS, Math.min(...sources.map((each) => each.dueAt)) - Date.now());
  const polling = poll(read, show, onTrouble, { pauseMs });
  const times = setInterval(() => document.hidden || [workers, failed, pause].forEach((each) => each.paint()), TIMES_MS);
  const unsubscribe = app.onStatus(() => pause.paint());
  return {
    unmount() {
      polling.stop();
      clearInterval(times);
      unsubscribe();
      chart.destroy();
    },
  };
}

function summary({ workers = [], figures }) {
  const live = workers.filter((each) => each.state !== "silent");
  const count = (state) => live.filter((each) => each.state === state).length;
  const states = ["working", "idle", "unwell", "draining"].filter(count).map((state) => `${count(state)} ${WORDS[state]}`);
  const there = live.length ? `${live.length} ${live.length === 1 ? "worker" : "workers"}: ${listed(states)}.` : "No worker is running.";
  if (!figures) return there;
  const { QueuedChunkCount: queued, ProcessingChunkCount: processing } = figures;
  return `${there} ${queued} ${queued === 1 ? "chunk waits" : "chunks wait"}, ${processing} ${processing === 1 ? "is" : "are"} in work.`;
}

const WORDS = { working: "at work", idle: "idle", unwell: "in trouble", draining: "about to stop" };
