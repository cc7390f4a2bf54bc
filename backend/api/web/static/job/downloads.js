// What a finished job leaves, to take away: the film first, then data in the formats that people ask for.

import { h } from "../core/dom.js";
import { jobUrl } from "../core/api.js";
import { resultType } from "../core/words.js";

const WORDS = {
  "tracks.json": "Tracks, JSON", "tracks.parquet": "Tracks, Parquet", "tracks.mot.txt": "Tracks, MOTChallenge",
  "tracks.csv": "Tracks, CSV", "camera_path.json": "Camera path, JSON", "contact_sheet.png": "Contact sheet",
  "preview.mp4": "Preview of the source", "results.json": "Results, JSON", "report.html": "Report of the poses",
};
const ROUTES = {
  plot: "Camera plot", report: "Report", manifest: "How it was cut into parts", deliveries: null,
};
const SHOWN_HERE = /\.(html|png|mp4)$|\/(plot|report|contact-sheet)$/;
const TIMELINES = { otio: "Camera path, OpenTimelineIO", edl: "Camera path, EDL" };

export function downloads(job) {
  const items = [...files(job), ...routes(job)];
  return h(
    "section", { class: "downloads", "aria-labelledby": "downloads-title" },
    h("h2", { id: "downloads-title" }, "Downloads"),
    h("p", {}, h("a", { id: "download", class: "primary", href: `${jobUrl(job.id)}/output?download=true`, download: true }, `Download the ${resultType(job)}`)),
    h("ul", { id: "links", class: "links" }, items.map(({ words, href }) =>
      h("li", {}, h("a", SHOWN_HERE.test(href) ? { href, target: "_blank" } : { href, download: true }, words)))),
  );
}

function files({ links }) {
  return Object.entries(links)
    .filter(([name, href]) => href.endsWith(`/files/${name}`))
    .map(([name, href]) => ({ words: WORDS[name] ?? name, href }));
}

function routes({ links }) {
  const found = Object.entries(ROUTES).filter(([name, words]) => words && links[name]).map(([name, words]) => ({ words, href: links[name] }));
  if (links.tracks && !links["tracks.csv"]) found.unshift({ words: WORDS["tracks.csv"], href: `${links.tracks}?format=csv` });
  if (links.timeline) for (const [format, words] of Object.entries(TIMELINES)) found.push({ words, href: `${links.timeline}?format=${format}` });
  return found;
}
