// The chosen shape laid over a picture: what is outside of the largest window of that shape is dimmed.

import { svg } from "../core/dom.js";

/** An SVG in the picture's own pixels. `aspect` as in the form: "9:16", "source". */
export function windowOutline(width, height, aspect) {
  const { x, y, width: w, height: h } = largestWindow(width, height, aspect);
  return svg(
    "svg",
    { class: "outline", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", dataset: { window: [x, y, w, h].map(Math.round).join(" ") } },
    svg("path", { class: "outside", d: `M0 0H${width}V${height}H0Z M${x} ${y}V${y + h}H${x + w}V${y}Z` }),
    svg("rect", { class: "window", x, y, width: w, height: h }),
  );
}

/** The largest window of that shape, in the picture's middle: the camera moves it and makes it smaller. */
export function largestWindow(width, height, aspect) {
  const [across, down] = aspect === "source" ? [width, height] : aspect.split(":").map(Number);
  const w = Math.min(width, (height * across) / down);
  const h = Math.min(height, (w * down) / across);
  return { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h };
}
