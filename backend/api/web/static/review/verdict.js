// What the certificate says in words, honest first, each with what can be done about it.

import { h } from "../core/dom.js";
import { percent } from "../core/words.js";

const WORTH_PCT = 1;
const WORTH_SEC = 0.5;

/** [{words, actions: [{words, href}]}] of a job and its certificate; empty where all is well. */
export function shortfalls(job, certificate) {
  const { holding, left_out: leftOut, passing } = certificate;
  const { aspect, fill, subject } = job.params;
  const shape = aspect === "source" ? "the window" : aspect;
  const everybody = subject === "all" || subject.includes(",");
  const bars = fill === "crop" ? [edit(job, "show them between bars", { fill: "blur" })] : [];
  const wider = ["9:16", "4:5"].includes(aspect) ? [edit(job, "choose another shape", { aspect: aspect === "9:16" ? "4:5" : "1:1" })] : [];
  const one = everybody ? [edit(job, "follow one person", { subject: "main" })] : [];
  const fix = [...bars, ...wider, ...one];
  const other = [edit(job, "follow somebody else", {})];
  if (!certificate.subject_track_ids.length) {
    return [{ words: "Nobody was found who could be followed: the window stands still in the middle.", actions: other }];
  }
  const notFollowed = { pct: holding.not_followed.pct - passing.pct, seconds: holding.not_followed.seconds - passing.seconds };
  return [
    told(holding.larger, `do not fit ${shape}`, fix),
    told(leftOut, "leave out somebody, as not everybody fits", fix),
    told(holding.part, "show the subject only in part", [...wider, edit(job, "give it more room", { padding_ratio: 0.25 })]),
    told(notFollowed, "show somebody whom the window does not follow", other),
    told(passing, "pass from one person to another", []),
    told(holding.nobody, "have nobody in them; the window waits or moves on", []),
    ...shown(job, certificate, wider),
  ].filter(Boolean);
}

/** What an editor would add; certificates of earlier versions do not have it. */
function shown(job, { nobody_shown: nobody, at_edge: edge, enlarged, enlarged_max: most, passing }, wider) {
  return [
    nobody && told({ pct: nobody.pct - passing.pct, seconds: nobody.seconds - passing.seconds }, "show no head, although somebody is there", wider),
    edge && told(edge, "have the head at the edge", [...wider, edit(job, "give it more room", { padding_ratio: 0.25 })]),
    enlarged && told(enlarged, `are soft, as they are enlarged up to ${most.toFixed(1)} times`, [edit(job, "enlarge less", { max_upscale: 1.2 })]),
  ];
}

/** Heads, whole people and moves in a sentence each, beside a window that stands still; null of earlier versions. */
export function motion(certificate) {
  const { heads_held_pct: heads, whole_held_pct: whole, static: still, direction_changes: turns, lurch_max: lurch } = certificate;
  if (heads === undefined || heads === null) return null;
  const fit = whole === null ? "" : `, and ${percent(whole)} of the people who fit are whole`;
  const back = turns === 0 ? "It never turns back" : `It turns back ${turns === 1 ? "once" : `${turns} times`}`;
  return `${percent(heads)} of the heads are in the window (${percent(still.heads_held_pct)} in the best one that stands still)${fit}. `
    + (lurch < 0.001 ? "It stands still." : `${back} and moves by at most ${percent(100 * lurch)} of the picture in half a second.`);
}

/** The box at the top of a review. */
export function verdict(job, certificate) {
  const found = shortfalls(job, certificate);
  const whole = certificate.holding.whole;
  const rest = job.warnings.filter((warning) => !/^In (all|[\d.]+ % of the) frames/.test(warning));
  return h(
    "section", { class: "verdict", "aria-label": "What the film shows" },
    h("p", { class: "sum" }, h("b", {}, `${percent(whole.pct)} of the frames hold ${everybodyWords(job)} whole.`)),
    layoutWords(certificate) && h("p", {}, layoutWords(certificate)),
    motion(certificate) && h("p", {}, motion(certificate)),
    found.length > 0 && h("ul", {}, found.map(({ words, actions }) => h("li", {}, `${words}${actions.length ? ": " : "."}`, actions.flatMap(link)))),
    rest.length > 0 && h("ul", { class: "quiet" }, rest.map((warning) => h("li", {}, warning))),
  );
}

/** How the film is laid out where it is not one window all the time; empty where it is, or an older version made it. */
function layoutWords({ layouts = {} }) {
  const parts = [["split", "split into panels"], ["bars", "shown between bars"]].filter(([name]) => layouts[name]?.frames);
  return parts.length ? `${parts.map(([name, words]) => `${percent(layouts[name].pct)} of the film is ${words}`).join(", ")}.` : "";
}

function link({ words, href }, index) {
  return [index > 0 && " · ", h("a", { href }, words)];
}

function everybodyWords(job) {
  return job.params.subject === "all" || job.params.subject.includes(",") ? "those who are followed" : "the person";
}

function told(counted, words, actions) {
  if (!(counted.pct > WORTH_PCT || counted.seconds > WORTH_SEC)) return null;
  return { words: `${percent(counted.pct)} of the frames ${words}`, actions };
}

function edit(job, words, change) {
  return { words, href: `#/jobs/${job.id}/edit?${new URLSearchParams(change)}` };
}
