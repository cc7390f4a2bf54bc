// Paints one job, or the upload before it. Everything from the server goes in as text.

import { filmProblem, jobUrl } from "../core/api.js";
import { byId, fillAlert, textElement } from "../core/dom.js";
import { FINAL, STEPS, bytes, facts, parts, resultType, stageWords, timeLeft } from "../core/words.js";

const QUEUE_PATIENCE_MS = 30_000;
const bar = byId("bar");
const video = byId("video");
const RENEW_AFTER_MS = 10_000; // a film that fails at once again is not one whose link ran out
let waitingSince = 0;
let shown = null; // id of the job whose film is in the player

// Links that the page has words for, with the file that each of them shows.
const WORDED = {
  tracks: "tracks.json", "camera-path": "camera_path.json", "contact-sheet": "contact_sheet.png", plot: "", manifest: "",
};
const SHOWN_HERE = /\.(html|png|mp4)$/;

export const isFinal = (job) => FINAL.has(job.status);

/** An empty view, before the first answer. */
export function clearJob(name = "…") {
  shown = null;
  waitingSince = 0;
  video.removeAttribute("src");
  video.load();
  byId("job-name").textContent = name;
  byId("job-facts").textContent = "";
  byId("percent").textContent = "";
  setText("parts", "");
  setText("eta", "");
  setText("stage", "One moment");
  only("working");
  for (const id of ["hint", "trouble", "retry", "cancel", "hold", "another"]) byId(id).hidden = true;
  bar.removeAttribute("value");
  markSteps(0);
}

/** `state` as Upload tells it. */
export function paintUpload({ sent, total, speed, paused, trouble }) {
  const stored = sent >= total;
  setText("stage", paused ? "Paused" : stored ? "Storing the video" : "Uploading the video");
  setText("parts", `${bytes(sent)} of ${bytes(total)}${speed && !paused && !stored ? ` · ${bytes(speed)}/s` : ""}`);
  setText("eta", speed && !paused && !stored ? timeLeft((total - sent) / speed) : "");
  byId("cancel").hidden = false;
  byId("hold").hidden = stored;
  byId("hold").dataset.paused = paused;
  setText("hold", paused ? "Go on" : "Pause");
  note(paused ? "" : trouble);
  showPercent(stored ? null : Math.floor((100 * sent) / total));
}

export function paintJob(job) {
  byId("job-name").textContent = job.input.name;
  byId("job-facts").textContent = facts(job);
  setText("stage", stageWords(job));
  byId("steps").hidden = job.kind !== "crop"; // they are those of a crop
  byId("cancel").hidden = isFinal(job);
  byId("hold").hidden = true;
  byId("another").hidden = false;
  byId("retry").hidden = !(job.status === "failed" && job.error?.retryable);
  document.title = `${isFinal(job) ? stageWords(job) : `${job.progress_pct} %`} · ${job.input.name} · framefleet`;
  (PAINTERS[job.status] ?? paintWork)(job);
}

/** A job that cannot be shown, as when the link's id is unknown. */
export function paintProblem(problem) {
  only("failure");
  byId("job-name").textContent = "No such job";
  setText("stage", "That did not work");
  byId("another").hidden = false;
  fillAlert(byId("failure"), problem.message, problem.code);
}

/** A line that does not replace what is shown; empty takes it away. */
export function note(message) {
  setText("trouble", message);
  byId("trouble").hidden = !message;
}

const PAINTERS = { done: paintResult, failed: paintFailure, cancelled: () => only("cancelled") };

function paintFailure(job) {
  only("failure");
  fillAlert(byId("failure"), job.error?.message ?? "The job failed.", job.error?.code);
}

function paintWork(job) {
  only("working");
  const known = job.total_chunks && job.stage !== "DEEP_QUEUED";
  showPercent(known ? job.progress_pct : null);
  setText("parts", parts(job));
  setText("eta", timeLeft(job.eta_seconds));
  markSteps(STEPS[job.stage] ?? 0);
  waitingSince = job.stage === "DEEP_QUEUED" ? waitingSince || Date.now() : 0;
  const long = waitingSince && Date.now() - waitingSince > QUEUE_PATIENCE_MS;
  byId("hint").hidden = !long;
  setText("hint", long ? "No worker has taken this up yet. They may all be busy, or none is running." : "");
}

function paintResult(job) {
  only("result");
  const base = jobUrl(job.id);
  const type = resultType(job);
  byId("screen").hidden = type === "result";
  if (shown !== job.id) {
    shown = job.id;
    if (type !== "result") video.src = `${base}/output`;
  }
  byId("download").href = `${base}/output?download=true`;
  byId("download").textContent = `Download the ${type}`;
  paintLinks(job.links);
  const notes = [...fallbackNote(job.detector), ...job.warnings];
  byId("notes").hidden = notes.length === 0;
  byId("notes-list").replaceChildren(...notes.map((content) => textElement("li", content)));
}

/** What there is: five that have words of their own, then the other files by their names. */
function paintLinks(links) {
  for (const [name, file] of Object.entries(WORDED)) {
    const link = byId(name);
    link.closest("li").hidden = !links[name];
    if (links[name]) link.href = links[name];
  }
  const others = Object.keys(links).filter((name) => links[name].endsWith(`/files/${name}`) && !Object.values(WORDED).includes(name));
  byId("links").querySelectorAll(".other").forEach((item) => item.remove());
  byId("links").append(...others.map((name) => fileItem(name, links[name])));
}

function fileItem(name, href) {
  const link = textElement("a", name);
  link.href = href;
  if (SHOWN_HERE.test(name)) link.target = "_blank";
  else link.download = name;
  const item = document.createElement("li");
  item.className = "other";
  item.append(link);
  return item;
}

function fallbackNote(detector) {
  if (!detector?.fallback) return [];
  return [`${detector.fallback}.`];
}

/** null: nobody knows yet. */
function showPercent(percent) {
  byId("percent").textContent = percent === null ? "" : `${percent} %`;
  if (percent === null) bar.removeAttribute("value");
  else bar.value = percent;
}

function markSteps(current) {
  [...byId("steps").children].forEach((step, index) => {
    step.className = index < current ? "past" : "";
    if (index === current) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
}

function only(id) {
  for (const part of ["working", "result", "failure", "cancelled"]) byId(part).hidden = part !== id;
  byId("job").dataset.state = id;
  if (id !== "working") byId("percent").textContent = "";
  if (id !== "result") for (const part of ["video-error", "notes"]) byId(part).hidden = true;
}

/** Written only when it changes: a screen reader would say it anew. */
function setText(id, content) {
  if (byId(id).textContent !== content) byId(id).textContent = content;
}

/** Links to the store's host run out after minutes: the film goes on where it was, by a new one. */
let renewedAt = 0;

function playOn() {
  const { currentTime, paused } = video;
  renewedAt = Date.now();
  video.addEventListener("loadedmetadata", () => {
    video.currentTime = currentTime;
    if (!paused) video.play();
  }, { once: true });
  video.load();
}

video.addEventListener("loadedmetadata", () => {
  byId("result").classList.toggle("landscape", video.videoWidth > video.videoHeight);
  byId("video-error").hidden = true;
});

video.addEventListener("error", async () => {
  const id = shown;
  if (!id || !video.getAttribute("src")) return;
  const problem = await filmProblem(id);
  if (shown !== id) return;
  if (!problem && video.readyState > 0 && Date.now() - renewedAt > RENEW_AFTER_MS) return playOn();
  // Without a problem the bytes are there: the browser lacks the codec.
  const message = problem?.message ?? "The film cannot be played here. Reload the page, or download it.";
  fillAlert(byId("video-error"), message, problem?.code);
});
