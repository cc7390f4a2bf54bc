// How to crop: the same for all that is started together.

import { h } from "../core/dom.js";

const SHAPES = [
  ["9:16", "Story", "portrait"], ["1:1", "Square", "square"], ["4:5", "Feed", "tall"], ["16:9", "Wide", "wide"], ["source", "Source", "source"],
];
const SUBJECTS = [
  ["main", "Main person", "Seen the most"], ["all", "Everyone", "Keep all in view"],
  ["speaker", "Whoever speaks", "By voice and mouths; takes longer"],
];
const FILLS = {
  "": "As it suits: crop; for everyone also panels or bars", crop: "Crop: fill the picture, cut what is outside",
  split: "Show several people in panels", pad: "Show them whole, between black bars", blur: "Show them whole, between blurred bars",
};
const QUALITIES = { 17: "High – large file", 20: "Good", 26: "Small file" };
const MOVEMENTS = { optimal: "Steady – looks ahead", ema: "Simple – trails behind (moving average)" };

let chosen = {}; // kept while the page is open, over changes of the view

/** {elements, aspect(), params()}: `onChange()` hears of each choice. */
export function options(onChange) {
  const padding = h("input", { id: "padding", type: "range", min: 0, max: 1, step: 0.01, value: chosen.padding_ratio ?? 0.12 });
  const percent = h("output", { id: "padding-value", for: "padding" });
  const timestamp = h("input", { id: "timestamp", type: "checkbox", checked: chosen.draw_timestamp ?? false });
  const elements = [
    h("fieldset", {}, h("legend", {}, "Shape"), h("div", { class: "choices shapes" }, SHAPES.map(([value, words, style]) =>
      radio("aspect", value, "9:16", h("i", { class: `shape ${style}` }), h("b", {}, value === "source" ? "As is" : value), h("small", {}, words))))),
    h("fieldset", {}, h("legend", {}, "Follow"), h("div", { class: "choices subjects" }, SUBJECTS.map(([value, words, more]) =>
      radio("subject", value, "main", h("b", {}, words), h("small", {}, more))))),
    h("details", {}, h("summary", {}, "More options"),
      h("div", { class: "field" }, h("label", { for: "padding" }, "Room around the person ", percent), padding),
      select("smoothing", "Camera movement", MOVEMENTS, "optimal"),
      select("fill", "Where a person does not fit", FILLS, ""),
      select("crf", "Quality", QUALITIES, "20"),
      h("label", { class: "check" }, timestamp, h("span", {}, "Draw the time into the picture"))),
  ];

  function params() {
    const value = (name) => elements.map((each) => each.querySelector(`input[name="${name}"]:checked, select#${name}`)).find(Boolean).value;
    const fill = value("fill");
    return {
      aspect: value("aspect"), subject: value("subject"), padding_ratio: Number(padding.value), smoothing: value("smoothing"),
      ...(fill && { fill }), crf: Number(value("crf")), draw_timestamp: timestamp.checked,
    };
  }

  function changed() {
    chosen = params();
    showPadding();
    onChange();
  }

  function showPadding() {
    const words = `${Math.round(padding.value * 100)} %`;
    percent.textContent = words;
    padding.setAttribute("aria-valuetext", words);
  }

  for (const element of elements) element.addEventListener("input", changed);
  showPadding();
  return { elements, aspect: () => params().aspect, params };
}

function radio(name, value, usual, ...content) {
  return h("label", { class: "choice" },
    h("input", { type: "radio", name, value, checked: (chosen[name] ?? usual) === value }), h("span", {}, content));
}

function select(name, label, values, usual) {
  const now = String(chosen[name] ?? usual);
  return h("div", { class: "field" }, h("label", { for: name }, label),
    h("select", { id: name, name }, Object.entries(values).map(([value, words]) => h("option", { value, selected: value === now }, words))));
}
