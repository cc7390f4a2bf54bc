// What the page says: numbers, times and states in words.

export const STEPS = { UPLOADING: 0, PROBING: 0, DEEP_QUEUED: 1, PROCESSING: 1, AGGREGATING: 2, RENDERING: 3 };
const STAGES = {
  UPLOADING: "Uploading the video",
  PROBING: "Reading the video",
  DEEP_QUEUED: "Waiting for a worker",
  PROCESSING: "Finding people",
  AGGREGATING: "Planning the camera path",
  RENDERING: "Writing the film",
};
// Of kinds that look for nobody, or follow nobody with a camera.
const OTHER_STAGES = {
  ...STAGES, PROBING: "Reading the source", PROCESSING: "Working on the parts", AGGREGATING: "Putting it together",
  RENDERING: "Writing the result",
};
export const FINAL = new Set(["done", "failed", "cancelled"]);
const STATUSES = { done: "Done", failed: "That did not work", cancelled: "Cancelled" };
const SHORT = { done: "Done", failed: "Failed", cancelled: "Cancelled", queued: "Waiting", uploading: "Uploading" };
const SUBJECTS = { main: "main person", all: "everyone", speaker: "whoever speaks" };

export function stageWords(job) {
  const stages = job.kind === "crop" ? STAGES : OTHER_STAGES;
  return STATUSES[job.status] ?? stages[job.stage] ?? "Working";
}

/** What a done job leaves, in a word. */
export function resultType(job) {
  return { video: "film", audio: "sound" }[job.output?.content_type.split("/")[0]] ?? "result";
}

/** A kind beside the usual one, in words. */
export function kindWords(kind) {
  return kind === "crop" ? "" : kind.replaceAll("_", " ");
}

export function shortStatus(job) {
  return SHORT[job.status] ?? `${job.progress_pct} %`;
}

/** "1.2 MB" */
export function bytes(count) {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < 4) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 99.95 ? value.toFixed(1) : Math.round(value)} ${["bytes", "kB", "MB", "GB", "TB"][unit]}`;
}

/** "1 min 15 s" */
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** An estimate is no promise: coarse on purpose, and nothing where there is none. */
export function timeLeft(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds <= 10) return "a few seconds left";
  if (seconds < 57.5) return `about ${Math.round(seconds / 5) * 5} seconds left`;
  if (seconds < 90) return "about a minute left";
  if (seconds < 3570) return `about ${Math.round(seconds / 60)} minutes left`;
  const hours = Math.round(seconds / 1800) / 2;
  return hours === 1 ? "about an hour left" : `about ${hours} hours left`;
}

/** "a, b and c" */
export function listed(words, last = "and") {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}`;
}

/** How a job ended, as it is told to somebody who looks elsewhere. */
export function endWords(job) {
  if (job.status === "done") return `The ${resultType(job)} is done`;
  return job.status === "failed" ? "A job failed" : "A job was cancelled";
}

/** "1:05.20", a place in a film */
export function clock(seconds) {
  const hundredths = Math.round(seconds * 100);
  const whole = Math.floor(hundredths / 100);
  const two = (number) => String(number).padStart(2, "0");
  const hours = whole >= 3600 ? `${Math.floor(whole / 3600)}:` : "";
  const minutes = Math.floor((whole % 3600) / 60);
  return `${hours}${hours ? two(minutes) : minutes}:${two(whole % 60)}.${two(hundredths % 100)}`;
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" }); // making one costs more than a row

/** "5 minutes ago" */
export function ago(iso, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return RELATIVE.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86400) return RELATIVE.format(-Math.floor(seconds / 3600), "hour");
  return RELATIVE.format(-Math.floor(seconds / 86400), "day");
}

/** "9:16 · main person · 640 × 360 · 9 s" */
export function facts(job) {
  const { params, video } = job;
  const said = [kindWords(job.kind), shapeWords(params.aspect), subjectWords(params.subject)];
  if (video?.width && video?.height) said.push(`${video.width} × ${video.height}`);
  if (video?.duration_seconds) said.push(duration(video.duration_seconds));
  if (job.status === "done" && job.started_at && job.completed_at) {
    said.push(`took ${duration((Date.parse(job.completed_at) - Date.parse(job.started_at)) / 1000)}`);
  }
  // A line breaks between the facts, not within one.
  return said.filter(Boolean).map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · ");
}

export function shapeWords(aspect) {
  return aspect === "source" ? "source shape" : aspect;
}

export function parts(job) {
  if (!job.total_chunks || job.status !== "processing") return "";
  const failed = job.failed_chunks ? `, ${job.failed_chunks} failed` : "";
  return `${job.completed_chunks} of ${job.total_chunks} ${job.total_chunks === 1 ? "part" : "parts"} done${failed}`;
}

function subjectWords(subject) {
  return SUBJECTS[subject] ?? subject?.replace(":", " ");
}

/** Never 100 % for less than all, never 0 % for some. */
export function percent(pct) {
  if (pct === 0 || pct === 100) return `${pct} %`;
  return pct < 1 ? `${Math.max(pct, 0.1).toFixed(1)} %` : `${Math.min(99, Math.round(pct))} %`;
}
