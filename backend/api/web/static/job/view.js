// One job, from its first frame to its result.

import { getJob, jobUrl, reread } from "../core/api.js";
import { fillAlert, h, setText } from "../core/dom.js";
import { menuButton } from "../core/menu.js";
import { poll } from "../core/poll.js";
import { FINAL, facts, stageWords } from "../core/words.js";
import { actionsOn } from "../jobs/actions.js";
import { onCancelling, isCancelling } from "../jobs/cancel.js";
import { versionsOf } from "../edit/versions.js";
import { hasReview, mountReview } from "../review/review.js";
import { downloads } from "./downloads.js";
import { Glimpse } from "./glimpse.js";
import { Log } from "./log.js";
import { mountPlainResult } from "./plain_result.js";
import { Progress } from "./progress.js";
import { Strip } from "./strip.js";

const NO_NEWS = "No news from the server. Asking again in";

export function mount(root, { id }, app) {
  const view = new JobView(root, id, app);
  return { unmount: () => view.unmount() };
}

class JobView {
  constructor(root, id, app) {
    this.#id = id;
    this.#app = app;
    this.#acts = actionsOn(app, { put: (job) => this.#paint(job), refresh: () => this.#follow() });
    this.#build(root);
    this.#endings.push(onCancelling((job) => (job?.id === id ? this.#paint(job) : this.#job && this.#paintActions(this.#job))));
    const key = (event) => this.#result?.key?.(event);
    document.addEventListener("keydown", key);
    this.#endings.push(() => document.removeEventListener("keydown", key));
    this.#follow();
  }

  #id;
  #app;
  #acts;
  #polling = null;
  #endings = [];
  #job = null;
  #chunks = [];
  #result = null; // what shows the result, once it is there
  #resultOf = "";
  #gone = false;
  #turn = 0;

  #build(root) {
    this.name = h("h1", { id: "job-name", class: "name", tabindex: -1, dir: "auto" }, "…");
    this.facts = h("p", { id: "job-facts", class: "quiet" });
    this.actions = h("div", { class: "actions" });
    this.news = h("p", { id: "trouble", class: "note", role: "status", hidden: true });
    this.progress = new Progress();
    this.glimpse = new Glimpse();
    this.strip = new Strip((chunk) => this.glimpse.pick(chunk));
    this.log = new Log();
    this.result = h("div", { id: "result", hidden: true });
    this.aside = h("div", { class: "after" });
    root.append(
      h("div", { id: "job" },
        h("p", { class: "back" }, h("a", { href: "#/jobs" }, "All jobs")),
        h("div", { class: "job-head" }, this.name, this.facts),
        h("div", { class: "card" }, this.progress.element, this.news, this.glimpse.element, this.result, this.actions),
        this.aside, this.strip.element, this.log.element),
    );
  }

  /** Asks from now on, also after it was over: it may have been put back. */
  #follow() {
    this.#polling?.stop();
    this.#polling = poll(() => this.#read(), (job) => this.#take(job), (problem, pauseMs) => this.#trouble(problem, pauseMs));
  }

  /** The job and, now and then, its chunks: at most one request a second. */
  async #read() {
    this.#turn += 1;
    if (this.#job && this.#wantsChunks() && this.#turn % 2 === 0) {
      this.#chunks = (await reread(`${jobUrl(this.#id)}/chunks?limit=1000`)).chunks;
      return this.#job;
    }
    return getJob(this.#id);
  }

  #wantsChunks() {
    return Boolean(this.#job.total_chunks);
  }

  #take(job) {
    if (this.#gone) return false;
    this.#paint(job);
    const over = FINAL.has(job.status);
    if (over && this.#turn % 2 === 1 && this.#wantsChunks()) return true; // once more, for the last of its chunks
    return !over;
  }

  #trouble(problem, pauseMs) {
    if (problem && !problem.passes) {
      setText(this.name, "No such job");
      this.#app.title("No such job", "failed");
      this.glimpse.element.hidden = true;
      this.progress.element.replaceChildren(h("div", { id: "failure", class: "alert", role: "alert" }));
      fillAlert(this.progress.element.firstChild, problem.message, problem.code);
      this.actions.replaceChildren(h("a", { class: "button", href: "#/jobs" }, "See all jobs"));
      return false;
    }
    this.#note(problem ? `${NO_NEWS} ${Math.round(pauseMs / 1000)} s…` : "");
    return true;
  }

  #note(words) {
    setText(this.news, words);
    this.news.hidden = !words;
  }

  #paint(job) {
    if (job.id !== this.#id) return;
    this.#job = job;
    const over = FINAL.has(job.status);
    setText(this.name, job.input.name);
    setText(this.facts, facts(job));
    this.#app.title(`${over ? stageWords(job) : `${job.progress_pct} %`} · ${job.input.name}`, over ? job.status : job.progress_pct);
    this.progress.paint(job);
    this.glimpse.element.classList.toggle("over", over);
    if (!over) this.glimpse.paint(job, this.#chunks);
    this.strip.paint(this.#chunks);
    this.log.paint(job, this.#chunks);
    this.#paintActions(job);
    if (job.status === "done") this.#showResult(job);
    else if (over) this.glimpse.element.hidden = true;
  }

  #paintActions(job) {
    const state = `${job.status} ${job.paused} ${isCancelling(job.id)} ${job.error?.code} ${this.#app.watch.has(job.id)}`;
    if (this.actions.dataset.state === state) return;
    const focused = this.actions.contains(document.activeElement);
    this.actions.dataset.state = state;
    const main = this.#acts.main(job);
    const items = this.#acts.menu(job).filter((item) => item && !["Open", main?.words].includes(item.words) && !(main?.words === "Edit" && item.words === "Edit the framing"));
    this.actions.replaceChildren(
      ...(isCancelling(job.id) ? [h("p", { class: "quiet" }, "It is cancelled in a moment.")] : []),
      ...(main ? [h("button", { type: "button", class: FINAL.has(job.status) ? "primary" : "", onclick: main.act }, main.words)] : []),
      ...items.slice(0, 3).map(actionElement),
      ...(items.length > 3 ? [menuButton("More", () => items.slice(3))] : []),
      ...(FINAL.has(job.status) ? [h("a", { class: "button", href: "#/new" }, "Start another")] : []),
    );
    if (focused) (this.actions.querySelector("button, a") ?? this.name).focus();
  }

  async #showResult(job) {
    if (this.#resultOf === job.id) return;
    this.#resultOf = job.id;
    this.glimpse.element.hidden = true;
    this.glimpse.destroy();
    this.result.hidden = false;
    this.result.replaceChildren();
    this.aside.replaceChildren(notes(job), downloads(job));
    if (job.links.versions) this.#showVersions(job);
    try {
      this.#result = hasReview(job) ? await mountReview(this.result, job) : mountPlainResult(this.result, job);
    } catch (problem) {
      const alert = h("div", { class: "alert", role: "alert" });
      fillAlert(alert, problem.message, problem.code);
      this.result.replaceChildren(alert);
      this.#result = mountPlainResult(this.result, job);
    }
    if (this.#gone) this.#result?.unmount();
  }

  #showVersions(job) {
    const versions = versionsOf(job);
    this.aside.append(versions.element);
    this.#endings.push(() => versions.unmount());
  }

  unmount() {
    this.#gone = true;
    this.#polling.stop();
    this.glimpse.destroy();
    this.#result?.unmount();
    for (const end of this.#endings) end();
  }
}

function actionElement({ words, act, href, danger }) {
  if (href) return h("a", { class: "button", href }, words);
  return h("button", { type: "button", class: danger ? "danger" : "", onclick: act }, words);
}

/** What is worth knowing, where no review says it. */
function notes(job) {
  const said = [...(job.detector?.fallback ? [`${job.detector.fallback}.`] : []), ...(hasReview(job) ? [] : job.warnings)];
  return said.length ? h("div", { id: "notes", class: "note" }, h("h2", {}, "Worth knowing"), h("ul", {}, said.map((words) => h("li", { dir: "auto" }, words)))) : "";
}
