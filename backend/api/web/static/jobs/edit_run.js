// The dialog that runs a job again with another link or other settings.

import { newKey, runAgain } from "../core/api.js";
import { askInDialog } from "../core/dialog.js";
import { h } from "../core/dom.js";
import { listed } from "../core/words.js";
import { CHOICES as EDITED, FOLLOWED } from "../edit/choices.js";

const LINK = /^(https?|s3|gs):\/\/[^\s]+$/i;
// Of the kind crop; the others have their settings as JSON.
const CHOICES = { aspect: EDITED.aspect, subject: { words: "Follow", values: FOLLOWED }, fill: EDITED.fill };

/** `job` with its parameters. Resolves to the new job, or null when the person left. */
export function editAndRun(job) {
  const key = newKey(); // pressed twice, it makes one job
  const isLink = LINK.test(job.input.uri) && job.input.host !== null;
  return askInDialog({
    title: `Edit and run ${job.input.name}`,
    fields: [linkField(job, isLink), ...(job.kind === "crop" ? Object.keys(CHOICES).map((name) => choice(name, job.params[name])) : [jsonField(job)])],
    button: "Run",
    act: (form) => runAgain(job.id, changesIn(form, job, isLink), key),
  });
}

function linkField(job, isLink) {
  return h("div", { class: "field" },
    h("label", { for: "again-link" }, isLink ? "Link" : "Another link"),
    h("input", { id: "again-link", type: "url", value: isLink ? job.input.uri : "", dir: "ltr", spellcheck: "false",
      placeholder: isLink ? "https://…" : "Empty: the same file", "aria-describedby": "again-link-hint" }),
    h("p", { id: "again-link-hint", class: "hint" }, isLink
      ? "What stands after “?” of a signed link is not kept: give a fresh one if this asks for a signature."
      : "The file is there already and is not sent again."));
}

function choice(name, now) {
  const { words, values } = CHOICES[name];
  const known = now === undefined || Object.hasOwn(values, now) ? values : { ...values, [now]: String(now) };
  return h("div", { class: "field" },
    h("label", { for: `again-${name}` }, words),
    h("select", { id: `again-${name}`, name }, Object.entries(known).map(([value, said]) => h("option", { value, selected: value === now }, said))));
}

function jsonField(job) {
  return h("div", { class: "field" },
    h("label", { for: "again-params" }, "Settings (JSON)"),
    h("textarea", { id: "again-params", spellcheck: "false", dir: "ltr", rows: 8 }, JSON.stringify(job.params, null, 2)));
}

/** Only what differs. Raises an Error with words. */
function changesIn(form, job, isLink) {
  const link = form.querySelector("#again-link").value.trim();
  if (link && !LINK.test(link)) throw new Error("The link must begin with https://, s3:// or gs://.");
  if (isLink && !link) throw new Error("Give a link.");
  const given = job.kind === "crop" ? chosen(form) : written(form.querySelector("#again-params").value);
  const before = job.params;
  const params = Object.fromEntries(Object.entries(given).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])));
  if (job.kind !== "crop") for (const name of Object.keys(before)) if (!(name in given)) params[name] = null;
  return { ...(link && link !== job.input.uri ? { input: link } : {}), params };
}

const chosen = (form) => Object.fromEntries([...form.querySelectorAll("select")].map(({ name, value }) => [name, value]));

function written(text) {
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // said below
  }
  throw new Error(`The settings must be a JSON object, such as ${listed(['{"conf": 0.3}'])}.`);
}
