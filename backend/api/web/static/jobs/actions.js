// What can be done with jobs: with one in its row, with several that are picked.

import { ask, newKey, pauseJob, resumeJob, retryJob, runAgain } from "../core/api.js";
import { FINAL } from "../core/words.js";
import { cancelWithUndo, isCancelling } from "./cancel.js";
import { editAndRun } from "./edit_run.js";

const BUSY_MS = 1500;

export const canCancel = (job) => !FINAL.has(job.status) && !isCancelling(job.id);
export const canRetry = (job) => job.status === "failed" && Boolean(job.error?.retryable);
export const canRunAgain = (job) => Boolean(job.links.again) && FINAL.has(job.status);
export const canWatch = (job) => !FINAL.has(job.status);

/** `listing`: what shows the jobs, told of each that changed. */
export function actionsOn(app, listing) {
  /** One after the other; what fails is said once, with how many. */
  async function each(jobs, act, words) {
    const problems = [];
    for (const job of jobs) {
      try {
        const answer = await patiently(() => act(job));
        if (answer?.id === job.id) listing.put(answer);
      } catch (problem) {
        problems.push(problem);
      }
    }
    const done = jobs.length - problems.length;
    if (done && words) app.notice(words(done));
    if (problems.length) app.notice(`${problems.length > 1 ? `${problems.length} did not work: ` : ""}${problems[0].message}`);
    listing.refresh();
  }

  const acts = {
    cancel: (jobs) => cancelWithUndo(jobs, app.notice),
    retry: (jobs) => each(jobs, (job) => retryJob(job.id), (count) => (count === 1 ? "Tried again" : `${count} jobs are tried again`)),
    pause: (jobs) => each(jobs, (job) => pauseJob(job.id)),
    resume: (jobs) => each(jobs, (job) => resumeJob(job.id)),
    async runAgain(jobs) {
      const keys = new Map(jobs.map((job) => [job.id, newKey()])); // a repeat makes no second job
      await each(jobs, (job) => runAgain(job.id, {}, keys.get(job.id)), (count) => (count === 1 ? "Runs again as a new job" : `${count} new jobs`));
    },
    async editAndRun(job) {
      const made = await editAndRun(await ask(job.links.self));
      if (made) app.go(`#/jobs/${made.id}`);
    },
    async watch(jobs) {
      app.notice(await app.watch.add(jobs));
    },
  };

  /** {words, act} of a row's button, or null. */
  function main(job) {
    if (canCancel(job)) return { words: "Cancel", act: () => acts.cancel([job]) };
    if (canRetry(job)) return { words: "Retry", act: () => acts.retry([job]) };
    if (job.status === "failed" && job.links.again) return { words: "Edit and run", act: () => said(acts.editAndRun(job)) };
    if (job.status === "cancelled" && job.links.again) return { words: "Run again", act: () => acts.runAgain([job]) };
    if (job.links.solve) return { words: "Edit", act: () => app.go(`#/jobs/${job.id}/edit`) };
    return null;
  }

  /** Everything else, for the row's menu. */
  function menu(job) {
    const held = job.paused && !isCancelling(job.id);
    return [
      { words: "Open", href: `#/jobs/${job.id}` },
      job.links.solve && { words: "Edit the framing", href: `#/jobs/${job.id}/edit` },
      job.output && { words: "Download", href: `${job.output.url}?download=true` },
      canWatch(job) && !app.watch.has(job.id) && { words: "Tell me when it is done", act: () => acts.watch([job]) },
      app.watch.has(job.id) && { words: "Do not tell me", act: () => app.watch.remove(job.id) },
      canCancel(job) && !job.paused && { words: "Pause", act: () => acts.pause([job]) },
      held && canCancel(job) && { words: "Resume", act: () => acts.resume([job]) },
      canRetry(job) && { words: "Retry", act: () => acts.retry([job]) },
      canRunAgain(job) && { words: "Run again", act: () => acts.runAgain([job]) },
      job.links.again && { words: "Edit and run", act: () => said(acts.editAndRun(job)) },
      canCancel(job) && { words: "Cancel", danger: true, act: () => acts.cancel([job]) },
    ];
  }

  function said(promise) {
    promise.catch((problem) => app.notice(problem.message));
  }

  return { ...acts, main, menu };
}

/** A server that has too much to do just now is asked a second time. */
async function patiently(act) {
  try {
    return await act();
  } catch (problem) {
    if (problem.status !== 429 || problem.code !== "rate_limited") throw problem;
    await new Promise((resolve) => setTimeout(resolve, BUSY_MS));
    return act();
  }
}
