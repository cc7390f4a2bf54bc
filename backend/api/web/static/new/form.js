// The form: a file or a link, and how to crop it.

import { byId, fillAlert } from "../core/dom.js";
import { bytes } from "../core/words.js";

const LINK = /^(https?|s3|gs):\/\/\S+$/i;
const [form, drop, input, uri, error] = ["form", "drop", "file", "uri", "form-error"].map(byId);
let chosen = null;

/** `onStart({file, uri, params})` gets what passed the checks; `onChange()` hears of every change. */
export function setUpForm(onStart, onChange) {
  input.addEventListener("change", () => input.files.length && choose(input.files[0]));
  uri.addEventListener("input", clearError);
  byId("unchoose").addEventListener("click", unchoose);
  byId("padding").addEventListener("input", showPadding);
  setUpDrop();
  form.addEventListener("input", onChange);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const complaint = checked();
    if (complaint) return complain(complaint);
    clearError();
    onStart({ file: chosen, uri: chosen ? null : uri.value.trim(), params: params() });
  });
  showPadding(); // browsers keep a slider's place over a reload
}

/** An error under the form. */
export function complain(message, code) {
  fillAlert(error, message, code);
}

/** Files that were not sent to their end: a page may not open them by itself. */
export function showUnfinished(names) {
  byId("unfinished").hidden = names.length === 0;
  byId("unfinished").textContent = names.length ? `Not all uploaded yet: ${names.join(", ")}. Choose it again to go on.` : "";
}

export function resetForm() {
  uri.value = "";
  unchoose();
  clearError();
}

function checked() {
  if (chosen) return chosen.size ? "" : "This file is empty. Choose another one.";
  const link = uri.value.trim();
  if (!link) return "Choose a video or give a link first.";
  if (!LINK.test(link)) return "A link must begin with https://, http://, s3:// or gs://.";
  return "";
}

function params() {
  const choice = new FormData(form);
  return {
    aspect: choice.get("aspect"),
    subject: choice.get("subject"),
    padding_ratio: Number(byId("padding").value),
    smoothing: byId("smoothing").value,
    draw_timestamp: byId("timestamp").checked,
  };
}

function choose(file) {
  chosen = file;
  input.value = ""; // the same file can be chosen again
  byId("chosen-name").textContent = file.name;
  byId("chosen-size").textContent = bytes(file.size);
  show(true);
  clearError();
  if (!file.size) complain("This file is empty. Choose another one.");
  byId("submit").focus();
}

function unchoose() {
  const hadFocus = document.activeElement === byId("unchoose");
  chosen = null;
  show(false);
  clearError();
  if (hadFocus) input.focus();
}

function show(hasFile) {
  drop.hidden = hasFile;
  byId("link-field").hidden = hasFile;
  byId("chosen").hidden = !hasFile;
}

function setUpDrop() {
  let depth = 0; // dragleave comes for every child that is crossed
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    drop.classList.toggle("over", depth > 0);
  };
  drop.addEventListener("dragenter", () => mark(1));
  drop.addEventListener("dragleave", () => mark(-1));
  // A drop beside the zone must not make the browser leave the page.
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-depth);
    if (!form.closest("[hidden]")) take(event.dataTransfer);
  });
}

function take(transfer) {
  const entry = transfer.items[0]?.webkitGetAsEntry?.();
  if (entry?.isDirectory) return complain("That is a folder. Drop one video file.");
  if (transfer.files.length > 1) return complain("One video at a time, please.");
  if (transfer.files.length) choose(transfer.files[0]);
}

function showPadding() {
  const percent = `${Math.round(byId("padding").value * 100)} %`;
  byId("padding-value").textContent = percent;
  byId("padding").setAttribute("aria-valuetext", percent);
}

function clearError() {
  error.hidden = true;
}
