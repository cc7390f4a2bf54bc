// Uploads that a reload or a closed tab broke off: offered again, with what the server has of them.

import { createFromUpload, getUpload } from "../core/api.js";
import { fillAlert, h, keyed, setText } from "../core/dom.js";
import { bytes } from "../core/words.js";
import { fileOf, handleOf } from "./handles.js";
import { nameOf, unfinished } from "./unfinished.js";
import { discardUnfinished, forgetAll, sentElsewhere, uploads } from "./uploads.js";

const ELSEWHERE_MS = 5000; // nobody tells when another tab is closed

/** {element, refresh()}: a section that is hidden while there is none. `onJob(job)` hears of one that needed no more bytes. */
export function offers({ onJob, signal }) {
  const rows = h("ul", { class: "uploads" });
  const element = h("section", { class: "card uploads-card", "aria-labelledby": "offers-title", hidden: true },
    h("h2", { id: "offers-title", tabindex: -1 }, "Not finished"), rows);
  let turn = 0;
  let later = 0;

  async function refresh() {
    const mine = ++turn;
    clearTimeout(later);
    const elsewhere = await sentElsewhere();
    const records = unfinished().filter((record) => !uploads.has(record));
    const found = await Promise.all(records.map((record) => offerOf(record, elsewhere)));
    if (mine !== turn || signal.aborted) return;
    const shown = found.filter(Boolean);
    const hadFocus = rows.contains(document.activeElement);
    keyed(rows, shown, (offer) => nameOf(offer.record), (offer) => makeRow(offer, { refresh, onJob }), paintRow);
    element.hidden = !shown.length;
    if (shown.some((offer) => offer.isElsewhere)) later = setTimeout(refresh, ELSEWHERE_MS);
    if (hadFocus && document.activeElement === document.body) element.querySelector("h2").focus();
  }

  window.addEventListener("storage", refresh, { signal }); // another tab began or ended one
  signal.addEventListener("abort", () => clearTimeout(later));
  refresh();
  return { element, refresh };
}

/** {record, isElsewhere, upload, handle}, `upload` null where nothing is there or the server does not answer; null: forgotten. */
async function offerOf(record, elsewhere) {
  const isElsewhere = elsewhere.has(nameOf(record));
  const [upload, handle] = await Promise.all([isElsewhere ? null : uploadOf(record), handleOf(record)]);
  return upload === "gone" ? null : { record, isElsewhere, upload, handle };
}

async function uploadOf(record) {
  if (!record.id) return null;
  try {
    return await getUpload(record.id);
  } catch (problem) {
    if (problem.status !== 404) return null; // still offered: going on says what is wrong
    forgetAll(record);
    return "gone";
  }
}

function makeRow(offer, { refresh, onJob }) {
  const { record } = offer;
  const problem = h("div", { class: "alert", role: "alert", hidden: true });
  const complain = (words, code) => fillAlert(problem, words, code);
  const goOn = h("button", { type: "button", class: "small primary", dataset: { role: "go-on" }, "aria-label": `Go on: ${record.name}` }, "Go on");
  goOn.addEventListener("click", async () => {
    goOn.disabled = true;
    problem.hidden = true;
    await goOnWith(row.offer, { complain, onJob, choose: () => (row.offer.handle = null, paintRow(row, row.offer)) });
    goOn.disabled = false;
    refresh();
  });
  const input = h("input", { type: "file", "aria-label": `Choose the same file to go on: ${record.name}` });
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const complaint = isOther(file, record);
    if (complaint) return complain(complaint);
    uploads.add({ file, params: record.params, alone: !uploads.isGoingOn() });
    refresh();
  });
  const discard = () => (discardUnfinished(record), refresh());
  const row = h("li", { class: "upload" },
    h("div", { class: "upload-facts" },
      h("p", { class: "name", dir: "auto" }, record.name),
      h("p", { class: "quiet", dataset: { role: "amount" } }),
      problem),
    h("div", { class: "actions" },
      goOn,
      h("label", { class: "button small file-button", dataset: { role: "choose" } }, "Choose the same file to go on", input),
      h("button", { type: "button", class: "small", dataset: { role: "discard" }, "aria-label": `Discard: ${record.name}`, onclick: discard }, "Discard")));
  return row;
}

function paintRow(row, offer) {
  row.offer = offer;
  const needsNoFile = offer.upload !== null && offer.upload.state !== "open";
  const shown = offer.isElsewhere ? [] : [offer.handle || needsNoFile ? "go-on" : "choose", "discard"];
  for (const each of row.querySelectorAll(".actions > *")) each.hidden = !shown.includes(each.dataset.role);
  setText(row.querySelector('[data-role="amount"]'), amount(offer));
}

function amount({ record, isElsewhere, upload }) {
  if (isElsewhere) return "Being uploaded in another tab.";
  if (!upload) return record.id ? bytes(record.size) : `${bytes(record.size)}, nothing of it sent yet`;
  if (upload.state !== "open") return `All ${bytes(record.size)} are there.`;
  return `${bytes(upload.received_bytes)} of ${bytes(record.size)} are there.`;
}

async function goOnWith({ record, upload, handle }, { complain, onJob, choose }) {
  if (upload && upload.state !== "open") {
    try {
      const job = await createFromUpload(record.id, record.params, record.key);
      forgetAll(record);
      return onJob(job);
    } catch (problem) {
      return complain(problem.message, problem.code);
    }
  }
  const file = await fileOf(handle);
  const complaint = file ? isOther(file, record) : "The file cannot be opened from here any more. Choose it again.";
  if (!complaint) return uploads.add({ file, handle, params: record.params, alone: !uploads.isGoingOn() });
  complain(complaint);
  choose();
}

function isOther(file, record) {
  if (nameOf(file) === nameOf(record)) return "";
  if (file.name !== record.name) return `That is another file. Choose “${record.name}”, or discard this one.`;
  return "The file was changed since. Discard this one, and start with the file as it is now.";
}
