// The controls beside the picture: who is followed, and how the window is.

import { h, setText } from "../core/dom.js";
import { CHOICES, FOLLOWED, valuesOf } from "./choices.js";
import { followed, modeIn, modeOf, named } from "./follow.js";
import { inShape } from "./keyframes.js";

const MOST_PEOPLE = 30;

export class Panel {
  /** `edits`: what is changed; `review.tracks`: the people; `shotNow()`: the index of the shot that is shown. */
  constructor(edits, review, shotNow) {
    this.#edits = edits;
    this.#review = review;
    this.#shotNow = shotNow;
    this.#only = h("input", { type: "checkbox", onchange: () => this.paint() });
    this.#people = review.tracks.slice(0, MOST_PEOPLE).map(({ id }) =>
      h("input", { type: "checkbox", value: id, onchange: () => this.#pickPeople() }));
    // Mouths and voice are in an analysis only where they were asked for.
    const modes = Object.keys(FOLLOWED).filter((mode) => mode !== "speaker" || edits.own.subject === mode);
    this.#modes = modes.map((mode) => h("input", { type: "radio", name: "edit-mode", value: mode, onchange: () => this.follow(mode) }));
    this.#padding = h("input", { id: "edit-padding", type: "range", min: 0, max: 1, step: 0.01, oninput: () => this.#slide() });
    this.#percent = h("output", { for: "edit-padding" });
    this.#zoom = h("input", { type: "checkbox", onchange: () => edits.change({ zoom: this.#zoom.checked }) });
    this.#size = h("input", {
      id: "edit-size", type: "number", min: 16, max: 8192, step: 2, placeholder: "As it comes", inputmode: "numeric",
      onchange: () => this.#resize(),
    });
    this.#selects = Object.keys(CHOICES).map((name) => h("select", { id: `edit-${name}`, onchange: (event) => this.#choose(name, event.target.value) }));
    this.trouble = h("div", { class: "alert", role: "alert", hidden: true });
    this.element = h("form", { class: "card edit-panel", onsubmit: (event) => event.preventDefault() },
      h("fieldset", {}, h("legend", {}, "Follow"),
        this.#modes.map((radio) => check(radio, FOLLOWED[radio.value])),
        this.#people.map((box) => check(box, `Person ${box.value}`)),
        review.shots.length > 1 && check(this.#only, "In the shot shown only")),
      this.#selects.map((select, index) => field(select, Object.values(CHOICES)[index].words)),
      field(this.#padding, "Room around the person ", this.#percent),
      check(this.#zoom, "Zoom within a shot"),
      field(this.#size, "Width of the film in pixels"));
  }

  #edits;
  #review;
  #shotNow;
  #only;
  #people;
  #modes;
  #padding;
  #percent;
  #zoom;
  #size;
  #selects;

  /** The index of the shot that a change of who is followed is for; null: the whole film. */
  get shot() {
    return this.#only.checked ? this.#shotNow() : null;
  }

  /** The mode that holds where changes go. */
  get mode() {
    return this.shot === null ? this.#edits.params.subject : modeIn(this.#edits.params, this.shot);
  }

  follow(mode) {
    this.#edits.change(followed(this.#edits.params, mode, this.shot));
  }

  /** Shows the parameters as they stand. */
  paint() {
    const { params } = this.#edits;
    const ids = named(this.mode) ?? [];
    for (const radio of this.#modes) {
      radio.checked = radio.value === this.mode;
      radio.disabled = radio.value === "speaker" && this.shot !== null; // turns are shots of their own
    }
    for (const box of this.#people) box.checked = ids.includes(Number(box.value));
    this.#selects.forEach((select, index) => fillSelect(select, Object.keys(CHOICES)[index], params));
    if (document.activeElement !== this.#padding) this.#padding.value = params.padding_ratio;
    const words = `${Math.round(params.padding_ratio * 100)} %`;
    setText(this.#percent, words);
    this.#padding.setAttribute("aria-valuetext", words);
    this.#zoom.checked = params.zoom;
    this.#size.value = params.output_width ?? "";
  }

  #pickPeople() {
    this.follow(modeOf(this.#people.filter((box) => box.checked).map((box) => Number(box.value))));
  }

  #choose(name, value) {
    this.#edits.change(name === "aspect" ? inShape(this.#review, this.#edits.params, value) : { [name]: value });
  }

  #slide() {
    this.#edits.change({ padding_ratio: Number(this.#padding.value) }, "padding");
  }

  #resize() {
    const width = Math.round(this.#size.valueAsNumber);
    this.#edits.change({ output_width: width >= 16 && width <= 8192 ? width : null, output_height: null });
  }
}

function fillSelect(select, name, params) {
  const values = valuesOf(name, params[name]);
  if (select.options.length !== Object.keys(values).length) {
    select.replaceChildren(...Object.entries(values).map(([value, words]) => h("option", { value }, words)));
  }
  select.value = params[name];
}

function check(input, words) {
  return h("label", { class: "check" }, input, h("span", {}, words));
}

function field(control, words, ...more) {
  return h("div", { class: "field" }, h("label", { for: control.id }, words, more), control);
}
