// Where files are dropped or chosen, with their handles where the browser gives those.

import { h, svg } from "../core/dom.js";

const ENDINGS = ".mp4,.mov,.m4v,.mkv,.webm,.avi,.ts,.mts,.m2ts,.mpg,.mpeg,.wmv,.flv,.mxf,.3gp,.ogv,.ivf";

/**
 * The zone; a drop counts anywhere in the window until `signal` aborts. `onFiles([{file, handle}])`, `onText(text)`: dropped links,
 * `complain(words)`.
 */
export function dropZone({ onFiles, onText, complain, signal }) {
  const input = h("input", { id: "file", type: "file", multiple: true, accept: `video/*,${ENDINGS}`, "aria-describedby": "form-error" });
  const zone = h("label", { id: "drop", class: "drop" }, input,
    h("span", { class: "drop-body" },
      svg("svg", { class: "drop-icon", viewBox: "0 0 24 24", "aria-hidden": "true" },
        svg("path", { d: "M12 16V5m0 0L7.5 9.5M12 5l4.5 4.5M4.5 16v2.5a1.5 1.5 0 0 0 1.5 1.5h12a1.5 1.5 0 0 0 1.5-1.5V16" })),
      h("strong", {}, "Drop videos here"),
      h("span", { class: "quiet" }, "or ", h("span", { class: "linkish" }, "choose files"))));

  input.addEventListener("change", () => {
    const files = [...input.files].map((file) => ({ file, handle: null }));
    input.value = ""; // the same file can be chosen again
    if (files.length) onFiles(files);
  });
  input.addEventListener("click", (event) => pickWithHandles(event, input, onFiles));

  let depth = 0; // dragleave comes for every child that is crossed
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    zone.classList.toggle("over", depth > 0);
  };
  zone.addEventListener("dragenter", () => mark(1));
  zone.addEventListener("dragleave", () => mark(-1));
  // A drop beside the zone must not make the browser leave the page.
  window.addEventListener("dragover", (event) => event.preventDefault(), { signal });
  window.addEventListener("drop", (event) => {
    mark(-depth);
    const text = event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text/plain");
    if (!event.dataTransfer.files.length && event.target.matches?.("textarea, input")) return; // text, into a field
    event.preventDefault();
    if (document.querySelector("dialog[open]")) return;
    if (event.dataTransfer.files.length) takeFiles(event.dataTransfer, onFiles, complain);
    else if (text) onText(text);
  }, { signal });
  return zone;
}

/** The transfer is empty once its event is over: everything is asked for at once. */
async function takeFiles(transfer, onFiles, complain) {
  const items = [...transfer.items].filter((item) => item.kind === "file").map((item) => ({
    isFolder: item.webkitGetAsEntry?.()?.isDirectory ?? false,
    file: item.getAsFile(),
    handle: Promise.resolve(item.getAsFileSystemHandle?.()).catch(() => null), // the file itself is there without it
  }));
  if (items.some((item) => item.isFolder)) complain("That is a folder. Drop the video files in it.");
  const taken = items.filter((item) => item.file && !item.isFolder);
  onFiles(await Promise.all(taken.map(async ({ file, handle }) => ({ file, handle: (await handle) ?? null }))));
}

/** The picker that gives handles, where there is one; else the input's own. */
async function pickWithHandles(event, input, onFiles) {
  if (!window.showOpenFilePicker || input.dataset.plain) return;
  event.preventDefault();
  try {
    const types = [{ description: "Videos", accept: { "video/*": ENDINGS.split(",") } }];
    const handles = await window.showOpenFilePicker({ multiple: true, types });
    onFiles(await Promise.all(handles.map(async (handle) => ({ file: await handle.getFile(), handle }))));
  } catch (error) {
    if (error.name === "AbortError") return; // the person chose none
    input.dataset.plain = "yes";
    input.click();
  }
}
