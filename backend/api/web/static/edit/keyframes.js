// Keyframes as the job's parameters have them: {time_sec, x, y, width?}, the window's centre in source pixels. `film`:
// {timesSec, shots, frameSize}. Nothing is changed in place; lists are in the order of time.

import { largestWindow } from "../new/window_outline.js";
import { nearest } from "../review/data.js";

const round = (value) => Math.round(value * 10) / 10;

/** The index of the shot that the frame is in. */
export function shotOf(film, frame) {
  const index = film.shots.findIndex(([, stop]) => frame < stop);
  return index < 0 ? film.shots.length - 1 : index;
}

export function frameOf(film, keyframe) {
  return nearest(film.timesSec, keyframe.time_sec);
}

/** The index of the keyframe on this frame; -1 where there is none. */
export function pinnedAt(film, keyframes, frame) {
  return keyframes.findIndex((keyframe) => frameOf(film, keyframe) === frame);
}

/** Moved as little as is needed for the window to stay in the picture. */
export function inside(film, { x, y, width, height }) {
  const [across, down] = film.frameSize;
  return { x: clamp(x, 0, across - width), y: clamp(y, 0, down - height), width, height };
}

/** With the window {x, y, width, height} pinned on the frame. */
export function pin(film, keyframes, frame, window) {
  const shot = shotOf(film, frame);
  const width = keyframes.find((keyframe) => keyframe.width && shotOf(film, frameOf(film, keyframe)) === shot)?.width;
  const kept = keyframes.filter((keyframe) => frameOf(film, keyframe) !== frame);
  return inOrder([...kept, made(film, frame, inside(film, window), width)]);
}

/** The same, and the window's width is that of all keyframes in the shot: a shot's window has one size. */
export function pinWidth(film, keyframes, frame, window) {
  const shot = shotOf(film, frame);
  const width = round(window.width);
  return pin(film, keyframes, frame, window).map((keyframe) => {
    const at = frameOf(film, keyframe);
    if (shotOf(film, at) !== shot) return keyframe;
    const half = { x: window.width / 2, y: window.height / 2 };
    return made(film, at, inside(film, { x: keyframe.x - half.x, y: keyframe.y - half.y, width: window.width, height: window.height }), width);
  });
}

/** The keyframe at `index` on another frame; one that is there already gives way. Null deletes it. */
export function move(film, keyframes, index, frame) {
  const others = keyframes.filter((keyframe, each) => each !== index && frameOf(film, keyframe) !== frame);
  if (frame === null) return keyframes.filter((_, each) => each !== index);
  return inOrder([...others, { ...keyframes[index], time_sec: timeOf(film, frame) }]);
}

/** The frame of the nearest keyframe after (`by` 1) or before (-1); null where there is none. */
export function neighbour(film, keyframes, frame, by) {
  const frames = keyframes.map((keyframe) => frameOf(film, keyframe)).filter((each) => (each - frame) * by > 0);
  return frames.length ? (by > 0 ? Math.min(...frames) : Math.max(...frames)) : null;
}

/** The window around its centre, `width` wide, of the same shape, no larger than the picture. */
export function resized(film, window, width) {
  const [across, down] = film.frameSize;
  const shape = window.height / window.width;
  const fits = Math.min(width, across, down / shape);
  const centre = { x: window.x + window.width / 2, y: window.y + window.height / 2 };
  return inside(film, { x: centre.x - fits / 2, y: centre.y - (fits * shape) / 2, width: fits, height: fits * shape });
}

/** What changes with the shape: the keyframes' widths, and the film's size, which was for another one. */
export function inShape(film, params, aspect) {
  const keyframes = reshaped(film, params.keyframes ?? [], params.aspect, aspect);
  return { aspect, keyframes, output_width: null, output_height: null };
}

/** For a window of another shape: as large a share of the largest one, and in the picture. `from`, `to`: as "9:16". */
function reshaped(film, keyframes, from, to) {
  const [old, next] = [from, to].map((aspect) => largestWindow(...film.frameSize, aspect));
  return keyframes.map((keyframe) => {
    if (!keyframe.width) return keyframe;
    const share = keyframe.width / old.width;
    const [width, height] = [next.width * share, next.height * share];
    const window = inside(film, { x: keyframe.x - width / 2, y: keyframe.y - height / 2, width, height });
    return made(film, frameOf(film, keyframe), window, round(width));
  });
}

function made(film, frame, { x, y, width, height }, shotWidth) {
  const keyframe = { time_sec: timeOf(film, frame), x: round(x + width / 2), y: round(y + height / 2) };
  return shotWidth ? { ...keyframe, width: shotWidth } : keyframe;
}

const timeOf = (film, frame) => Math.round(film.timesSec[frame] * 1e5) / 1e5;
const inOrder = (keyframes) => keyframes.sort((a, b) => a.time_sec - b.time_sec);
const clamp = (value, least, most) => Math.max(least, Math.min(Math.max(least, most), value));
