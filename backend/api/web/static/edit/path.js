// The camera path that is shown: the job's own at first, then what the server solves for the edit.

/** {window, panels, shots, outputSize, subjectIds, certificate, warnings} of a review. */
export function pathOf(review) {
  const { window, panels, shots, outputSize, subjectIds, certificate } = review;
  return { window, panels, shots, outputSize, subjectIds, certificate, warnings: [] };
}

/** `path` with an answer of the server laid over it: the whole, or only a stretch. */
export function laidOver(path, solved) {
  const window = {};
  for (const name of ["x", "y", "width", "height"]) {
    const values = Float64Array.from(path.window[name]);
    values.set(solved[name], solved.from_frame);
    window[name] = values;
  }
  return {
    window,
    panels: [...without(path.panels, solved.from_frame, solved.from_frame + solved.x.length), ...solved.panels],
    shots: solved.shots,
    outputSize: solved.output_size,
    subjectIds: solved.subject_track_ids,
    certificate: solved.certificate ?? path.certificate,
    warnings: solved.certificate ? solved.warnings : path.warnings,
  };
}

/** What is split outside of the frames [from, to). */
function without(panels, from, to) {
  return panels.flatMap(({ start, stop, windows }) => [
    { start, stop: Math.min(stop, from), windows },
    { start: Math.max(start, to), stop, windows: windows.slice(Math.max(0, to - start)) },
  ]).filter(({ start, stop }) => start < stop);
}

export function windowAt({ window: { x, y, width, height } }, frame) {
  return { x: x[frame], y: y[frame], width: width[frame], height: height[frame] };
}
