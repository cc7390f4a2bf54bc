// What is chosen and not started yet. It outlives the view: who looks at another one finds it again.

import { newKey } from "../core/api.js";
import { firstFrame } from "./first_frame.js";
import { refusalOf } from "./looks_like.js";
import { nameOf, remembered } from "./unfinished.js";

const LINK = /^(https?|s3|gs):\/\/\S+$/i;
const BEGINNING = /^(h|ht|htt|https?|https?:|https?:\/|s|s3|s3:|s3:\/|g|gs|gs:|gs:\/)$/i;
const SCHEMES = "A link must begin with https://, http://, s3:// or gs://.";

/** {files, text}: films as below, and what stands in the field for links. */
export const draft = { files: [], text: "" };

const links = new Map(); // line → film, so that its key and its problem stay with it

/**
 * A chosen file: {id, file, handle, name, size, refusal, frame, resumes, looked}. `refusal` null while nobody knows;
 * `frame` null likewise, then as firstFrame() tells; `looked`: a promise of the refusal. `changed()` hears of what was found.
 */
export function addFile(file, handle, changed) {
  const film = { id: nameOf(file), file, handle, name: file.name, size: file.size, refusal: null, frame: null };
  film.resumes = Boolean(remembered(file)?.id);
  film.looked = refusalOf(file).catch(() => "This file cannot be read. Is it still there?").then((refusal) => (film.refusal = refusal));
  film.looked.then(async () => {
    changed();
    if (film.refusal) return;
    film.frame = await firstFrame(file);
    changed();
  });
  draft.files.push(film);
  return film;
}

export const isChosen = (file) => draft.files.some((film) => film.id === nameOf(file));

export function removeFile(film) {
  draft.files = draft.files.filter((each) => each !== film);
}

/** {films, complaints} of the field for links, `typed`: the line (from 0) where somebody still writes, or -1. */
export function linksIn(text, typed = -1) {
  const films = new Map();
  const complaints = [];
  text.split("\n").forEach((raw, index) => {
    const line = raw.trim();
    const complaint = line ? faultOf(line) : null;
    if (complaint === "") films.set(line, linkFilm(line));
    else if (complaint && !(index === typed && BEGINNING.test(line))) complaints.push({ number: index + 1, complaint });
  });
  return { films: [...films.values()], complaints };
}

export function removeLink(film) {
  draft.text = draft.text.split("\n").filter((line) => line.trim() !== film.uri).join("\n");
  links.delete(film.uri);
}

function faultOf(line) {
  if (/\s/.test(line)) return "A link has no spaces: give one link a line.";
  if (!LINK.test(line)) return SCHEMES;
  try {
    if (new URL(line).host) return "";
  } catch {
    // said below
  }
  return "This link names no host.";
}

/** {id, uri, name, host, problem} */
function linkFilm(uri) {
  if (!links.has(uri)) {
    const { host, pathname } = new URL(uri);
    links.set(uri, { id: uri, uri, name: lastStep(pathname) || host, host, problem: null });
  }
  return links.get(uri);
}

/** The key under which a link is started: where no answer came, a repeat with the same `params` makes no second job. */
export function keyOf(film, params) {
  const body = JSON.stringify(params);
  if (!film.key || film.body !== body || film.problem?.status) Object.assign(film, { key: newKey(), body });
  return film.key;
}

function lastStep(path) {
  const step = path.split("/").filter(Boolean).at(-1) ?? "";
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}
