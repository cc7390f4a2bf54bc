// The edit becomes a version, or one in each of several shapes.

import { ask, jobUrl, newKey, posted } from "../core/api.js";
import { fillAlert, h, setText } from "../core/dom.js";
import { SHAPES } from "./choices.js";
import { differing } from "./edits.js";
import { inShape } from "./keyframes.js";

/** `{element, paint(isPossible)}`. `onMade(jobs)`: the versions, when all of them are made. */
export function renderControls(job, film, edits, onMade) {
  const keys = new Map(); // what was asked → its key: pressed twice, or again after an error, it makes one version
  const alert = h("div", { class: "alert", role: "alert", hidden: true });
  const boxes = SHAPES.map((shape) => h("input", { type: "checkbox", value: shape, onchange: () => count() }));
  const one = h("button", { type: "button", class: "primary wide", onclick: () => make([edits.changes]) }, "Render");
  const several = h("button", { type: "button", disabled: true, onclick: () => make(picked().map(changesFor)) }, "Render these shapes");
  const element = h("section", { class: "card edit-render", "aria-label": "Render" }, one, alert,
    h("details", {}, h("summary", {}, "Several shapes in one go"),
      h("div", { class: "several" }, boxes.map((box) => h("label", { class: "check" }, box, h("span", {}, box.value))), several)));
  let isBusy = false;
  let isPossible = true;

  const picked = () => boxes.filter((box) => box.checked).map((box) => box.value);
  const changesFor = (aspect) =>
    aspect === edits.params.aspect ? edits.changes : differing(edits.own, { ...edits.params, ...inShape(film, edits.params, aspect) });

  async function make(wanted) {
    isBusy = true;
    alert.hidden = true;
    count();
    try {
      const made = [];
      for (const params of wanted) made.push(await makeOne(params));
      keys.clear();
      onMade(made);
    } catch (problem) {
      fillAlert(alert, problem.message, problem.code);
    } finally {
      isBusy = false;
      count();
    }
  }

  function makeOne(params) {
    const asked = JSON.stringify(params);
    if (!keys.has(asked)) keys.set(asked, newKey());
    return ask(`${jobUrl(job.id)}/versions`, posted({ params }, keys.get(asked)));
  }

  function count() {
    const shapes = picked().length;
    one.disabled = isBusy || !isPossible;
    several.disabled = isBusy || !isPossible || !shapes;
    setText(several, shapes > 1 ? `Render ${shapes} shapes` : "Render these shapes");
  }

  return {
    element,
    paint(possible) {
      isPossible = possible;
      count();
    },
  };
}
