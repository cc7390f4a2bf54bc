// What a finished job says about its film: when each frame is, who was where, and where the window stood.

import { ask } from "../core/api.js";

/**
 * `{timesSec, frameSize, window: {x, y, width, height}, panels, shots, outputSize, subject, tracks, subjectIds, certificate}`.
 * `timesSec`: Float64Array, a frame each, from the film's first one. `window`: a Float64Array each, source pixels.
 * `panels`: [{start, stop, windows}], the frames that are split and the windows beside the first one on each.
 * `subject`: [x1, y1, x2, y2] or null a frame. `tracks`: [{id, firstFrame, lastFrame, frames, boxAt(frame)}], longest first.
 * Rejects with a Problem.
 */
export async function loadReview(job) {
  const [path, found] = await Promise.all([ask(job.links["camera-path"]), ask(job.links.tracks)]);
  const [numerator, denominator] = path.time_base;
  const pts = Float64Array.from(path.frames, (row) => row[0]);
  const timesSec = pts.map((each) => ((each - pts[0]) * numerator) / denominator);
  const column = (index) => Float64Array.from(path.frames, (row) => row[index]);
  return {
    timesSec,
    frameSize: path.frame_size,
    window: { x: column(1), y: column(2), width: column(3), height: column(4) },
    panels: path.panels ?? [],
    shots: path.shots,
    outputSize: path.output_size,
    subject: path.subject,
    subjectIds: path.certificate.subject_track_ids,
    certificate: path.certificate,
    largerFrames: frameRanges(path.certificate.larger_than_window_pts, pts),
    tracks: found.tracks.map((track) => onFrames(track, pts)).sort((a, b) => b.frames - a.frames),
  };
}

/** The windows beside the first one on a frame. */
export function panelsAt(panels, frame) {
  const part = panels.find(({ start, stop }) => start <= frame && frame < stop);
  return (part?.windows[frame - part.start] ?? []).map(([x, y, width, height]) => ({ x, y, width, height }));
}

/** The last index whose value is at most `value`; 0 where all are larger. */
export function indexAt(values, value) {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The index of the value that is nearest. */
export function nearest(values, value) {
  const at = indexAt(values, value);
  return at + 1 < values.length && values[at + 1] - value < value - values[at] ? at + 1 : at;
}

function frameRanges(ranges, pts) {
  return ranges.map(([first, last]) => [indexAt(pts, first), indexAt(pts, last) + 1]);
}

/** A track's samples as frames; between two of them its box moves in a straight line. */
function onFrames({ id, pts: samplePts, boxes }, pts) {
  const samples = Float64Array.from(samplePts);
  const firstFrame = indexAt(pts, samples[0]);
  const lastFrame = indexAt(pts, samples[samples.length - 1]);
  return {
    id,
    firstFrame,
    lastFrame,
    frames: lastFrame - firstFrame + 1,
    boxAt(frame) {
      if (frame < firstFrame || frame > lastFrame) return null;
      const at = indexAt(samples, pts[frame]);
      if (at + 1 >= samples.length) return boxes[at];
      const share = (pts[frame] - samples[at]) / (samples[at + 1] - samples[at]);
      return boxes[at].map((side, index) => side + share * (boxes[at + 1][index] - side));
    },
  };
}
