// The view New: films are chosen or linked, looked at, and started.

import { createFromLink } from "../core/api.js";
import { fillAlert, h, keyed, setText } from "../core/dom.js";
import { bytes } from "../core/words.js";
import { makeCard, paintCard } from "./cards.js";
import { addFile, draft, isChosen, keyOf, linksIn, removeFile, removeLink } from "./draft.js";
import { dropZone } from "./drop_zone.js";
import { offers } from "./offers.js";
import { options } from "./options.js";
import { percent, setListed } from "./strip.js";
import { uploadList } from "./upload_list.js";
import { uploads } from "./uploads.js";

const NOTHING = "Choose a video or give a link first.";

export function mount(root, params, app) {
  const over = new AbortController();
  const { signal } = over;
  const chosen = options(paint);
  const cards = h("ul", { id: "films", class: "films", "aria-label": "Chosen films" });
  const error = h("div", { id: "form-error", class: "alert", role: "alert", hidden: true });
  const submit = h("button", { id: "submit", type: "submit", class: "primary wide" });
  const complaints = h("ul", { id: "link-complaints", class: "alert", hidden: true });
  const links = h("textarea", {
    id: "uri", rows: 2, inputmode: "url", autocapitalize: "off", autocomplete: "off", spellcheck: "false", dir: "ltr",
    placeholder: "https://…, s3://… or gs://…", "aria-describedby": "link-hint link-complaints form-error",
  });
  links.value = draft.text;
  const zone = dropZone({ onFiles: take, onText: takeText, complain, signal });
  const form = h("form", { id: "form", class: "card", novalidate: true, onsubmit: start },
    zone,
    h("div", { class: "field" },
      h("label", { for: "uri" }, "Or give links"), links,
      h("p", { id: "link-hint", class: "hint" }, "Several: one a line."), complaints),
    cards, chosen.elements,
    h("div", { class: "start-bar" }, error, submit));
  const listed = uploadList();
  const offered = offers({ onJob: (job) => app.go(`#/jobs/${job.id}`), signal });
  root.append(h("h1", { tabindex: -1 }, "Crop a video around its people"),
    h("p", { class: "lead" }, "Hand over a video; its people are found and followed, and you get back a smooth, well-framed picture."),
    listed.element, offered.element, form);

  function take(given) {
    clearError();
    for (const { file, handle } of given) {
      if (isChosen(file)) complain(`${file.name} is chosen already.`);
      else if (uploads.has(file)) complain(`${file.name} is being uploaded already.`);
      else addFile(file, handle, () => signal.aborted || paint());
    }
    paint();
    if (given.length) submit.focus({ preventScroll: true });
  }

  function takeText(text) {
    draft.text = [draft.text.trimEnd(), text.trim()].filter(Boolean).join("\n");
    links.value = draft.text;
    paint();
  }

  function remove(film) {
    const place = [...cards.children].findIndex((card) => card.dataset.key === film.id);
    film.uri ? removeLink(film) : removeFile(film);
    links.value = draft.text;
    clearError();
    paint();
    const next = cards.children[Math.min(place, cards.children.length - 1)];
    (next?.querySelector("button") ?? zone.querySelector("input")).focus();
  }

  /** Those that would be started. */
  function startable() {
    const { films } = linksIn(draft.text);
    return { files: draft.files.filter((film) => !film.refusal), links: films };
  }

  function paint() {
    const isTyping = document.activeElement === links;
    const typed = isTyping ? links.value.slice(0, links.selectionStart).split("\n").length - 1 : -1;
    const { films, complaints: wrong } = linksIn(draft.text, typed);
    const aspect = chosen.aspect();
    keyed(cards, [...draft.files, ...films], (film) => film.id, (film) => makeCard(film, remove), (card, film) => paintCard(card, film, aspect));
    cards.hidden = !cards.children.length;
    complaints.hidden = !wrong.length;
    keyed(complaints, wrong, (each) => `${each.number} ${each.complaint}`, ({ number, complaint }) =>
      h("li", {}, draft.text.trim().includes("\n") ? `Line ${number}: ${complaint}` : complaint), () => {});
    setText(submit, startWords(startable()));
  }

  function paintUploads(entry) {
    listed.paint();
    const going = uploads.list().filter((each) => each.isGoingOn);
    const how = Math.floor(percent(going));
    app.title(going.length ? `Uploading ${how} %` : "New video", going.length ? how : null);
    if (entry?.job && entry.alone && !cards.children.length && !draft.text.trim()) {
      uploads.dismiss(entry);
      app.go(`#/jobs/${entry.job.id}`);
    }
  }

  async function start(event) {
    event.preventDefault();
    clearError();
    submit.disabled = true;
    try {
      await Promise.all(draft.files.map((film) => film.looked));
      const { files, links: linked } = startable();
      if (!files.length && !linked.length) return complain(whyNothing());
      const alone = files.length + linked.length === 1;
      startFiles(files, alone);
      await startLinks(linked, alone);
    } finally {
      submit.disabled = false;
      links.value = draft.text;
      if (!signal.aborted) paint();
    }
  }

  function startFiles(films, alone) {
    for (const { file, handle, frame } of films) uploads.add({ file, handle, params: chosen.params(), picture: frame?.canvas, alone });
    films.forEach(removeFile);
    offered.refresh();
    if (films.length) listed.element.scrollIntoView({ block: "nearest" });
  }

  async function startLinks(films, alone) {
    const jobs = [];
    const how = chosen.params();
    for (const film of films) {
      try {
        jobs.push(await createFromLink(film.uri, how, keyOf(film, how)));
        removeLink(film);
      } catch (problem) {
        film.problem = problem; // at its card
      }
      if (!signal.aborted) paint();
    }
    if (alone && jobs.length && !signal.aborted) return app.go(`#/jobs/${jobs[0].id}`);
    if (jobs.length) app.notice(jobs.length === 1 ? "1 job began." : `${jobs.length} jobs began.`, { href: "#/jobs", link: "See the jobs" });
  }

  const whyNothing = () => draft.files.find((film) => film.refusal)?.refusal ?? linksIn(draft.text).complaints[0]?.complaint ?? NOTHING;

  function complain(message, code) {
    fillAlert(error, message, code);
  }

  function clearError() {
    error.hidden = true;
  }

  links.addEventListener("input", () => {
    draft.text = links.value;
    clearError();
    paint();
  });
  links.addEventListener("blur", paint);
  const stopListening = uploads.onChange(paintUploads);
  setListed(true);
  paint();
  paintUploads(null);
  return {
    unmount() {
      over.abort();
      stopListening();
      uploads.list().filter((entry) => entry.state === "done").forEach(uploads.dismiss);
      setListed(false);
    },
  };
}

function startWords({ files, links }) {
  const count = files.length + links.length;
  if (!count) return "Start";
  const size = files.reduce((sum, film) => sum + film.size, 0);
  return [`Start ${count === 1 ? "1 film" : `${count} films`}`, size && bytes(size)].filter(Boolean).join(" · ");
}
