// What differs between versions, in words.

import { clock, listed } from "../core/words.js";
import { CHOICES, FOLLOWED } from "./choices.js";
import { named } from "./follow.js";

const SAY = {
  subject: (value) => `follows ${who(value)}`,
  shots: (value) => {
    const shots = Object.entries(value);
    return shots.length ? `follows ${listed(shots.slice(0, 4).map(([shot, mode]) => `${who(mode)} in shot ${shot}`))}` : "follows the same in each shot";
  },
  keyframes: (value) =>
    value.length ? `${value.length} ${value.length === 1 ? "keyframe" : "keyframes"} (${value.slice(0, 3).map((each) => clock(each.time_sec)).join(", ")}${value.length > 3 ? ", …" : ""})` : "no keyframes",
  padding_ratio: (value) => `${Math.round(value * 100)} % room`,
  zoom: (value) => (value ? "zooms" : "keeps its size in a shot"),
  output_width: (value) => (value ? `${value} px wide` : "its own width"),
  output_height: (value) => (value ? `${value} px high` : "its own height"),
};

/** "main person", "person 3 and person 5" */
export function who(mode) {
  const ids = named(mode);
  if (ids) return listed(ids.map((id) => `person ${id}`));
  const words = FOLLOWED[mode];
  return words ? words[0].toLowerCase() + words.slice(1) : mode;
}

/** "1:1, blurred bars, 2 keyframes (0:01.00, 0:02.00)" of {name: value}; `nothing` where there are no changes. */
export function changeWords(changes, nothing = "nothing changed") {
  const said = Object.entries(changes).map(([name, value]) => {
    if (name in CHOICES) return (CHOICES[name].values[value] ?? String(value)).toLowerCase();
    return SAY[name]?.(value) ?? `${name.replaceAll("_", " ")}: ${JSON.stringify(value)}`;
  });
  return said.length ? said.join(", ") : nothing;
}

const FIGURES = [
  ["Whole person in the picture", (found) => found.holding.whole.pct],
  ["Person in part", (found) => found.holding.part.pct],
  ["Person larger than the window", (found) => found.holding.larger.pct],
  ["Somebody else", (found) => found.holding.not_followed.pct],
  ["Nobody", (found) => found.holding.nobody.pct],
  ["Heads in the window", (found) => found.heads_held_pct],
];

/** [[words, "12.5 %", "3 %"], …] of two certificates. */
export function figureRows(one, other) {
  const both = FIGURES.filter(([, read]) => Number.isFinite(read(one)) && Number.isFinite(read(other)));
  return both.map(([words, read]) => [words, `${read(one)} %`, `${read(other)} %`]);
}
