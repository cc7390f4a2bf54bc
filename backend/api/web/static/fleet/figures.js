// The figures that the metrics send, which the autoscaler goes by, each with what it says.

import { h, setText } from "../core/dom.js";
import { duration } from "../core/words.js";

const seconds = (value) => (value < 1 ? "0 s" : duration(value));
const share = (value) => `${Math.round(100 * value)} %`;
const decimal = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(1));

const FIGURES = [
  ["BacklogPerWorker", "Backlog per worker", decimal, "Chunks that wait or are in work, for each worker. Scaling out goes by it."],
  ["BusyShare", "Busy share", share, "Workers at work among all; one idle worker counts as busy. Scaling in goes by it."],
  ["QueuedWithoutWorkers", "Waiting without a worker", decimal, "Chunks that wait while no chunk worker runs. From zero, the first worker is started by it."],
  ["RunningWorkers", "Chunk workers", decimal, "Heard of within 45 seconds."],
  ["QueuedChunkCount", "Chunks waiting", decimal, "For a chunk worker, those that are tried again later included."],
  ["ProcessingChunkCount", "Chunks in work", decimal, "That chunk workers hold."],
  ["OldestQueuedSeconds", "Longest wait", seconds, "How long the chunk that waits longest has been due."],
  ["OldestAggregationSeconds", "Longest wait for a film", seconds, "Since the last chunk of the oldest job that has no film yet."],
  ["CompletedChunkCount", "Chunks completed", decimal, "Of jobs that ended within the last hour."],
  ["FailedChunkCount", "Chunks failed", decimal, "Of jobs that ended within the last hour."],
  ["DoneJobCount", "Jobs done", decimal, "Within the last hour."],
  ["FailedJobCount", "Jobs failed", decimal, "Within the last hour, at any stage."],
  ["OldestTransactionSeconds", "Oldest transaction", seconds, "Of the database. While it is open for long, claims slow down."],
];

export class Figures {
  #values = new Map();

  constructor() {
    const list = FIGURES.map(([name, title, , words]) => {
      const value = h("strong", {}, "–");
      this.#values.set(name, value);
      return h("div", { class: "figure" }, h("dt", {}, title), h("dd", {}, value, h("span", { class: "quiet" }, words), h("code", {}, name)));
    });
    this.element = h("section", { class: "fleet-part" }, h("h2", {}, "What scaling goes by"),
      h("p", { class: "quiet" }, "The figures as the metrics send them."), h("dl", { class: "figures" }, list));
  }

  show(figures) {
    for (const [name, , said] of FIGURES) if (name in figures) setText(this.#values.get(name), said(figures[name]));
  }
}
