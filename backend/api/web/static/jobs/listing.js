// The jobs that are shown: pages of the server's list, kept up to date with one question at a time.

import { countJobs, getJob, listJobs } from "../core/api.js";
import { poll } from "../core/poll.js";
import { FINAL } from "../core/words.js";
import { serverFilter } from "./filter.js";

const PAGE = 50;
const LIVE_MS = 1300; // with the page's other questions that stays below one a second
const STILL_MS = 5000;
const COUNTS_EVERY = 3; // turns

/**
 * `filter` as filter.js has it. `onChange({jobs, counts, total, more})` hears of what changed, `onTrouble(problem|null)`
 * of a server that is away. `isSeen(id)`: whether the job is on the screen.
 */
export class Listing {
  #filter;
  #jobs = new Map(); // id → job
  #order = []; // ids, newest first
  #cursor = null; // of the page after the last one
  #counts = null;
  #newest = null;
  #turn = 0;
  #asked = new Map(); // id → when a job below the newest page was asked for
  #onChange;
  #isSeen;
  #poll;

  constructor(filter, onChange, onTrouble, isSeen) {
    this.#filter = filter;
    this.#onChange = onChange;
    this.#isSeen = isSeen;
    const pauseMs = () => (this.#turn === 1 ? 0 : this.#isLive() ? LIVE_MS : STILL_MS);
    this.#poll = poll(() => this.#next(), () => true, onTrouble, { firstMs: LIVE_MS, pauseMs });
  }

  stop() {
    this.#poll.stop();
  }

  /** Asks at once, as after something was done. */
  refresh() {
    this.#turn = COUNTS_EVERY; // the newest page, then the counts
    this.#poll.now();
  }

  /** Puts in a job as an answer had it. */
  put(job) {
    if (!this.#jobs.has(job.id)) return;
    this.#jobs.set(job.id, job);
    this.#tell();
  }

  /** The page after the last one. Raises a Problem. */
  async more() {
    const wanted = this.#wanted();
    wanted.set("cursor", this.#cursor);
    const page = await listJobs(wanted);
    this.#cursor = page.next;
    for (const job of page.jobs) {
      if (!this.#jobs.has(job.id)) this.#order.push(job.id);
      this.#jobs.set(job.id, job);
    }
    this.#tell();
  }

  /** One question: the newest page, the counts, or one job further down that is seen and goes on. */
  async #next() {
    const turn = this.#turn++;
    if (turn % COUNTS_EVERY === 1) return this.#readCounts();
    const below = turn % COUNTS_EVERY === 2 && this.#longestUnasked();
    if (below) return this.#readOne(below);
    return this.#readNewest();
  }

  async #readNewest() {
    const page = await listJobs(this.#wanted());
    if (page === this.#newest) return; // 304
    this.#newest = page;
    this.#merge(page);
    this.#tell();
  }

  async #readCounts() {
    const counts = await countJobs(serverFilter({ ...this.#filter, status: "" }));
    if (counts === this.#counts) return;
    this.#counts = counts;
    this.#tell();
  }

  async #readOne(id) {
    this.#asked.set(id, Date.now());
    const job = await getJob(id);
    if (job === this.#jobs.get(id)) return;
    if (this.#fits(job)) this.#jobs.set(id, job);
    else this.#drop(id);
    this.#tell();
  }

  /** What the page covers is as the page says; what lies below it stays. */
  #merge({ jobs, next }) {
    const ids = new Set(jobs.map((job) => job.id));
    const met = this.#order.some((id) => ids.has(id)); // else there may be others in between
    const end = Date.parse(jobs.at(-1)?.created_at);
    const isBelow = (id) => !ids.has(id) && Date.parse(this.#jobs.get(id).created_at) <= end;
    const kept = next !== null && met ? this.#order.filter(isBelow) : [];
    if (!kept.length) this.#cursor = next;
    this.#order = [...ids, ...kept];
    const all = [...jobs, ...kept.map((id) => this.#jobs.get(id))];
    this.#jobs = new Map(all.map((job) => [job.id, job]));
  }

  #longestUnasked() {
    const live = this.#order.slice(PAGE).filter((id) => !FINAL.has(this.#jobs.get(id).status) && this.#isSeen(id));
    return live.sort((a, b) => (this.#asked.get(a) ?? 0) - (this.#asked.get(b) ?? 0))[0] ?? null;
  }

  #fits(job) {
    const wanted = serverFilter(this.#filter).getAll("status");
    return !wanted.length || wanted.includes(job.status);
  }

  #drop(id) {
    this.#jobs.delete(id);
    this.#order.splice(this.#order.indexOf(id), 1);
  }

  #isLive() {
    return [...this.#jobs.values()].some((job) => !FINAL.has(job.status) && !job.paused);
  }

  #wanted() {
    const wanted = serverFilter(this.#filter);
    wanted.set("limit", PAGE);
    return wanted;
  }

  #tell() {
    this.#onChange({
      jobs: this.#order.map((id) => this.#jobs.get(id)),
      counts: this.#counts?.counts ?? null,
      total: this.#counts?.total ?? null,
      more: this.#cursor !== null,
    });
  }
}
