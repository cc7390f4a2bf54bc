// A finished job: what the film shows in words, source and result in sync, and the timeline under both.

import { h } from "../core/dom.js";
import { jobUrl } from "../core/api.js";
import { loadReview, nearest, panelsAt } from "./data.js";
import { Overlay } from "./overlay.js";
import { Player } from "./player.js";
import { drawThumbs } from "./thumbs.js";
import { Timeline } from "./timeline.js";
import { Transport } from "./transport.js";
import { verdict } from "./verdict.js";

/** Whether there is a path to look at. */
export const hasReview = (job) => Boolean(job.status === "done" && job.links["camera-path"] && job.links.tracks && job.output);

/** Fills `root`. Returns {unmount, key(event)}. Rejects with a Problem where the job's files cannot be had. */
export async function mountReview(root, job) {
  const review = await loadReview(job);
  const player = new Player(review, urlsOf(job));
  const overlay = new Overlay(player);
  const timeline = new Timeline(review);
  const transport = new Transport(player);
  const followed = new Set(review.subjectIds);
  const pinned = pinnedFrames(job.params.keyframes ?? [], review.timesSec);
  const note = h("p", { class: "note", role: "status", hidden: true });
  timeline.setMarks(pinned.map((frame, id) => ({ frame, id })));
  player.onFrame((frame) => {
    timeline.setFrame(frame);
    overlay.draw(shown(review, frame, followed, pinned));
  });
  timeline.onSeek((frame) => player.seek(frame));
  root.append(verdict(job, review.certificate), player.element, note, transport.element, timeline.element);
  let endThumbs = () => {};
  let gone = false;
  player.ready.then(() => {
    if (gone) return;
    note.textContent = player.trouble || (player.usesPreview ? PREVIEW_NOTE : "");
    note.hidden = !note.textContent;
    // The preview begins at the film's first frame; what plays in its place begins where the player found it.
    const [url, startSec] = job.links.preview ? [job.links.preview, 0] : [job.links.source, player.startSec];
    const names = timeline.element.querySelectorAll("[data-track]");
    if (url && startSec !== null) endThumbs = drawThumbs(review, review.tracks.slice(0, names.length), names, url, startSec);
  });
  player.seek(0);
  return {
    key: (event) => transport.key(event),
    unmount() {
      gone = true;
      endThumbs();
      player.destroy();
    },
  };
}

const PREVIEW_NOTE = "This browser cannot decode the source: a preview of it plays, with ten pictures a second.";

/** What a Player takes. */
export function urlsOf(job) {
  return {
    sourceUrl: job.links.source ?? null,
    previewUrl: job.links.preview ?? null,
    resultUrl: job.output ? `${jobUrl(job.id)}/output` : null,
  };
}

/** What an Overlay draws of a frame. */
export function shown(review, frame, followed, pinned = []) {
  const people = review.tracks
    .map((track) => ({ id: track.id, box: track.boxAt(frame), followed: followed.has(track.id) }))
    .filter((person) => person.box);
  const { x, y, width, height } = review.window;
  return {
    people,
    window: { x: x[frame], y: y[frame], width: width[frame], height: height[frame] },
    panels: panelsAt(review.panels, frame),
    keyframe: pinned.includes(frame),
  };
}

export function pinnedFrames(keyframes, timesSec) {
  return keyframes.map((keyframe) => nearest(timesSec, keyframe.time_sec));
}
