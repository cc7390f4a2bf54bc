// Which jobs are listed, as the address, the chips and the server have it.

/** Chips: name in the address → words, and the states that the server knows. */
export const STATES = {
  "": { words: "All", statuses: [] },
  working: { words: "Under way", statuses: ["uploading", "queued", "processing", "aggregating"] },
  done: { words: "Done", statuses: ["done"] },
  failed: { words: "Failed", statuses: ["failed"] },
  cancelled: { words: "Cancelled", statuses: ["cancelled"] },
};
/** Name in the address → words and hours. */
export const SINCE = {
  "": { words: "Any time", hours: 0 },
  hour: { words: "Last hour", hours: 1 },
  day: { words: "Last 24 hours", hours: 24 },
  week: { words: "Last 7 days", hours: 168 },
  month: { words: "Last 30 days", hours: 720 },
};
/** Job kind → words. */
export const KINDS = {
  "": "All kinds", crop: "Crop", annotate: "Annotate", framing: "Framing", overlay: "Overlay", pose: "Pose", downsample: "Downsample",
  encode: "Encode", audio_trim: "Audio trim", stage: "Stage",
};
const MAX_Q = 200;

/** {status, q, kind, since} from the address; what it does not know is left out. */
export function filterOf(query) {
  const known = (name, choices) => (Object.hasOwn(choices, query.get(name) ?? "") ? (query.get(name) ?? "") : "");
  return {
    status: known("status", STATES),
    kind: known("kind", KINDS),
    since: known("since", SINCE),
    q: (query.get("q") ?? "").slice(0, MAX_Q),
  };
}

/** The same as the server's query. Whole minutes: the same question again has the same answer, and the same ETag. */
export function serverFilter({ status, q, kind, since }, now = Date.now()) {
  const wanted = new URLSearchParams(STATES[status].statuses.map((each) => ["status", each]));
  if (kind) wanted.set("kind", kind);
  if (q.trim()) wanted.set("q", q.trim());
  if (since) {
    const minute = Math.floor(now / 60_000) * 60_000;
    wanted.set("created_after", new Date(minute - SINCE[since].hours * 3_600_000).toISOString());
  }
  return wanted;
}

/** How many jobs a chip stands for; null before the first answer. */
export function countOf(state, counts, total) {
  if (!counts) return null;
  return state ? STATES[state].statuses.reduce((sum, each) => sum + (counts[each] ?? 0), 0) : total;
}
