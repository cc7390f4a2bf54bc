// Which view is up, and what happens between them. The job's id lives in the address: #job=<uuid>.

import { cancelJob, createFromLink, createFromUpload, getJob, newKey, retryJob } from "./api.js";
import { byId } from "./dom.js";
import { complain, resetForm, setUpForm, showUnfinished } from "./form.js";
import { clearJob, isFinal, note, paintJob, paintProblem, paintUpload } from "./job_view.js";
import { poll } from "./poll.js";
import { hideRecent, showRecent } from "./recent.js";
import { showWhoIsIn } from "./sign_in.js";
import { forget, unfinishedNames } from "./unfinished.js";
import { Upload } from "./upload.js";

const JOB_HASH = /^#job=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;
const cancelButton = byId("cancel");
const retryButton = byId("retry");
const holdButton = byId("hold");

let polling = null;
let jobId = null;
let sending = null; // {abort, cancel, hold} while a file is on its way
let fresh = null; // the job just made, shown before its first poll
let key = null; // a repeated submit after a broken connection makes no second job

function route() {
  const id = JOB_HASH.exec(location.hash)?.[1]?.toLowerCase() ?? null;
  sending?.abort();
  polling?.stop();
  jobId = id;
  if (id) showJob(id);
  else showHome();
  if (!id && location.hash.startsWith("#job=")) complain("That address names no job. It may have been cut off.");
}

function showHome() {
  document.title = "framefleet";
  swap("home");
  clearJob();
  showUnfinished(unfinishedNames());
  showRecent();
}

function showJob(id) {
  clearJob();
  if (fresh?.id === id) paintJob(fresh);
  swap("job");
  watch(id);
}

function swap(view) {
  const other = view === "home" ? "job" : "home";
  const moved = !byId(other).hidden;
  byId(other).hidden = true;
  byId(view).hidden = false;
  if (view === "job") hideRecent();
  if (!moved) return;
  window.scrollTo(0, 0);
  byId(view === "home" ? "home-title" : "job-name").focus({ preventScroll: true });
}

function watch(id) {
  polling?.stop();
  polling = poll(
    () => getJob(id),
    (job) => {
      paintJob(job);
      return !isFinal(job);
    },
    (problem, pauseMs) => {
      if (problem && !problem.passes) {
        paintProblem(problem);
        return false;
      }
      note(problem ? `No news from the server. Asking again in ${Math.round(pauseMs / 1000)} s…` : "");
      return true;
    },
  );
}

async function start({ file, uri, params }) {
  key ??= newKey();
  byId("submit").disabled = true;
  try {
    const job = await (file ? send(file, params) : createFromLink(uri, params, key));
    key = null;
    if (!job) return jobId ? undefined : showHome(); // aborted: by the button, or by going to another job
    resetForm();
    fresh = job;
    location.hash = `job=${job.id}`;
  } catch (problem) {
    if (problem.status) key = null;
    if (file) showHome();
    complain(problem.message, problem.code);
    byId("submit").focus();
  } finally {
    byId("submit").disabled = false;
  }
}

/** The job, or null when the person cancelled or went elsewhere. */
async function send(file, params) {
  let unwanted = false;
  clearJob(file.name);
  swap("job");
  const upload = new Upload(file, (state) => {
    document.title = `Uploading ${Math.floor((100 * state.sent) / state.total)} % · framefleet`;
    if (!unwanted) paintUpload(state);
  });
  sending = {
    abort: () => upload.stop(),
    // Once every byte is there the job may be made whatever we do: it is then cancelled instead.
    cancel: () => ((unwanted = true), upload.cancel()),
    hold: (paused) => (paused ? upload.resume() : upload.pause()),
  };
  try {
    const id = await upload.run();
    const job = id && (await createFromUpload(id, params, key));
    if (job) forget(file);
    return job && unwanted ? await cancelJob(job.id) : job;
  } finally {
    sending = null;
    cancelButton.disabled = false;
    note("");
  }
}

async function act(button, action) {
  const id = jobId;
  button.disabled = true;
  note("");
  try {
    const job = await action(id);
    if (id !== jobId) return;
    paintJob(job);
    if (button.hidden) byId("job-name").focus();
    watch(id);
  } catch (problem) {
    if (id !== jobId) return;
    note(problem.message);
    if (!problem.passes) watch(id); // the job moved on meanwhile; show where it stands
  } finally {
    button.disabled = false;
  }
}

cancelButton.addEventListener("click", () => {
  if (!sending) return act(cancelButton, cancelJob);
  cancelButton.disabled = true;
  sending.cancel();
});
holdButton.addEventListener("click", () => sending?.hold(holdButton.dataset.paused === "true"));
retryButton.addEventListener("click", () => act(retryButton, retryJob));
window.addEventListener("hashchange", route);
window.addEventListener("beforeunload", (event) => sending && event.preventDefault());
showWhoIsIn();
setUpForm(start, () => (key = null));
route();
