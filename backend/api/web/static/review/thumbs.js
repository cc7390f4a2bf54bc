// Small pictures of people, cut out of the film by the browser, one after the other.

import { h } from "../core/dom.js";

const SIDE_PX = 40;

/**
 * Puts a picture of each track before its name (elements with data-track). `url`: a film that plays here; `offsetSec`: its
 * time of the first frame. Returns what ends it.
 */
export function drawThumbs(review, tracks, names, url, offsetSec) {
  const video = h("video", { muted: true, preload: "auto" });
  video.muted = true;
  let gone = false;
  (async () => {
    video.src = url;
    for (const track of tracks) {
      const frame = Math.round((track.firstFrame + track.lastFrame) / 2);
      const box = track.boxAt(frame);
      if (gone || !(await seeked(video, offsetSec + review.timesSec[frame] + 0.001))) return;
      const name = [...names].find((each) => each.dataset.track === String(track.id));
      name?.prepend(picture(video, review.frameSize, box));
    }
  })();
  return () => {
    gone = true;
    video.removeAttribute("src");
    video.load();
  };
}

function seeked(video, sec) {
  return new Promise((resolve) => {
    video.addEventListener("seeked", () => resolve(true), { once: true });
    video.addEventListener("error", () => resolve(false), { once: true });
    video.currentTime = sec;
  });
}

/** The upper part of the box: that is where a head is. */
function picture(video, [width, height], [left, top, right]) {
  const canvas = h("canvas", { class: "person-thumb", width: SIDE_PX, height: SIDE_PX, "aria-hidden": "true" });
  const side = Math.min(right - left, height);
  const [scaleX, scaleY] = [video.videoWidth / width, video.videoHeight / height];
  const y = Math.min(top, height - side);
  canvas.getContext("2d").drawImage(video, left * scaleX, y * scaleY, side * scaleX, side * scaleY, 0, 0, SIDE_PX, SIDE_PX);
  return canvas;
}
