// What can be chosen in the editor, and how it is said: the one place that lists values of parameters.

export const CHOICES = {
  aspect: { words: "Shape", values: { "9:16": "9:16", "1:1": "1:1", "4:5": "4:5", "16:9": "16:9", source: "As the source" } },
  fill: { words: "Where somebody does not fit", values: { crop: "Crop", auto: "Whatever shows them best", split: "Panels", blur: "Blurred bars", pad: "Black bars" } },
  smoothing: { words: "Camera", values: { optimal: "Steady: looks ahead", ema: "Simple: trails behind" } },
};
/** Whom the film follows; besides, the people that are named. */
export const FOLLOWED = { main: "The main person", all: "Everyone", speaker: "Whoever speaks" };
export const SHAPES = ["9:16", "1:1", "4:5", "16:9"];

const isText = (value) => typeof value === "string" && value.length <= 2000;
const isNumber = (value) => Number.isFinite(value);
const isSide = (value) => value === null || (Number.isInteger(value) && value >= 16 && value <= 8192);
const isObject = (value) => Boolean(value) && typeof value === "object" && !Array.isArray(value);
const MODE = /^(all|main|track:\d{1,9}(,track:\d{1,9}){0,49})$/;
const isMode = (value) => isText(value) && MODE.test(value);
const isModeOfFilm = (value) => value === "speaker" || isMode(value);
const isKeyframe = (value) =>
  isObject(value) && ["time_sec", "x", "y"].every((name) => isNumber(value[name]) && value[name] >= 0) &&
  (value.width === undefined || value.width === null || isNumber(value.width));

/** Whether a value has the form of the parameter. What it means is the server's to judge. */
const FORMS = {
  aspect: (value) => isText(value) && /^(source|\d{1,5}:\d{1,5})$/.test(value),
  fill: isText,
  smoothing: isText,
  subject: isModeOfFilm,
  shots: (value) => isObject(value) && Object.entries(value).every(([shot, mode]) => /^\d{1,7}$/.test(shot) && isMode(mode)),
  keyframes: (value) => Array.isArray(value) && value.length <= 10_000 && value.every(isKeyframe),
  padding_ratio: (value) => isNumber(value) && value >= 0 && value <= 5,
  zoom: (value) => typeof value === "boolean",
  output_width: isSide,
  output_height: isSide,
};

/** Of what came from elsewhere (storage, an address), what the editor can change and is of the right form. */
export function wellFormed(changes) {
  if (!isObject(changes)) return {};
  return Object.fromEntries(Object.entries(changes).filter(([name, value]) => Object.hasOwn(FORMS, name) && FORMS[name](value)));
}

/** Changes that an address asks for, such as "?fill=blur&aspect=1:1". */
export function changesIn(query) {
  const read = (name, text) => (isText(text) && !["aspect", "fill", "smoothing", "subject"].includes(name) ? parsed(text) : text);
  return wellFormed(Object.fromEntries([...(query ?? [])].map(([name, text]) => [name, read(name, text)])));
}

/** The values of a choice, with the one that stands now although this list may not know it. */
export function valuesOf(name, now) {
  const { values } = CHOICES[name];
  return now === undefined || Object.hasOwn(values, now) ? values : { ...values, [now]: String(now) };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
