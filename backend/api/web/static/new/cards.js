// A chosen film as a card: its first picture with the chosen shape laid over it, and what is known of it.

import { fillAlert, h, setText, svg } from "../core/dom.js";
import { bytes, duration } from "../core/words.js";
import { windowOutline } from "./window_outline.js";

const UNDECODED = "No picture here before it is uploaded: this browser cannot decode it.";
const LINKED = "No picture here before the server has read it.";

export function makeCard(film, remove) {
  return h("li", { class: "film" },
    h("div", { class: "film-picture" }),
    h("div", { class: "film-facts" },
      h("p", { class: "name", dir: "auto" }, film.name),
      h("p", { class: "quiet", dataset: { role: "facts" } }),
      h("p", { class: "hint", dataset: { role: "resumes" }, hidden: !film.resumes }, "Part of it is there already: only the rest is sent."),
      h("div", { class: "alert", role: "alert", dataset: { role: "problem" }, hidden: true })),
    h("button", { type: "button", class: "small plain", "aria-label": `Remove ${film.name}`, onclick: () => remove(film) }, "Remove"));
}

/** `aspect`: of the shape that is chosen at this moment. */
export function paintCard(card, film, aspect) {
  const part = (role) => card.querySelector(`[data-role="${role}"]`);
  setText(part("facts"), facts(film));
  paintPicture(card.querySelector(".film-picture"), film, aspect);
  paintProblem(part("problem"), film);
  card.classList.toggle("refused", Boolean(film.refusal));
}

function paintPicture(box, film, aspect) {
  const { canvas, width, height } = film.frame ?? {};
  const key = canvas ? `${aspect} ${width} ${height}` : film.uri ? "link" : film.refusal ? "refused" : film.frame ? "undecoded" : "looking";
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  if (canvas) return box.replaceChildren(h("div", { class: "film-frame" }, canvas, windowOutline(width, height, aspect)));
  const words = { link: LINKED, undecoded: UNDECODED, looking: "One moment…", refused: "" }[key];
  box.replaceChildren(h("div", { class: "film-placeholder" }, drawing(), words && h("p", {}, words)));
}

/** A film strip with nothing on it. */
function drawing() {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("rect", { x: 3.5, y: 5, width: 17, height: 14, rx: 2 }),
    svg("path", { d: "M7.5 5v14M16.5 5v14M3.5 9.7h4M3.5 14.3h4M16.5 9.7h4M16.5 14.3h4" }));
}

function facts(film) {
  if (film.uri) return film.host;
  const { width, height, seconds } = film.frame ?? {};
  return [bytes(film.size), seconds && duration(seconds), width && `${width} × ${height}`].filter(Boolean).join(" · ");
}

function paintProblem(box, film) {
  const words = film.refusal || film.problem?.message || "";
  box.hidden = !words;
  if (words && box.dataset.words !== words) fillAlert(box, words, film.problem?.code);
  box.dataset.words = words;
}
