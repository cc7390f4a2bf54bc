// The view at #/jobs/<id>/edit: a job's decisions changed, seen at once, and rendered as a new version.

import { getJob, jobUrl, reread } from "../core/api.js";
import { fillAlert, h } from "../core/dom.js";
import { poll } from "../core/poll.js";
import { FINAL } from "../core/words.js";
import { loadReview } from "../review/data.js";
import { hasReview, urlsOf } from "../review/review.js";
import { changesIn } from "./choices.js";
import { Draft } from "./draft.js";
import { Edits } from "./edits.js";
import { Editor } from "./editor.js";
import { renderControls } from "./render.js";
import { versionsOf } from "./versions.js";

export function mount(root, params, app) {
  app.title("Edit");
  const heading = h("h1", { tabindex: -1 }, "Edit");
  const alert = h("div", { class: "alert", role: "alert", hidden: true });
  const waiting = h("p", { class: "lead", role: "status" }, "Loading…");
  root.append(heading, alert, waiting);
  let opened = null;
  let isGone = false;
  let isOpening = false;

  const reading = poll(() => getJob(params.id), (job) => {
    heading.replaceChildren("Edit ", h("bdi", { class: "name", dir: "auto" }, job.input.name));
    app.title(`Edit ${job.input.name}`);
    if (!job.links.solve) {
      waiting.textContent = FINAL.has(job.status)
        ? "This job has no camera path that could be edited." : "The people in it are being found. The editor opens when all parts are done.";
      return !FINAL.has(job.status);
    }
    if (isOpening) return false;
    isOpening = true;
    open(job).catch((problem) => fillAlert(alert, problem.message, problem.code));
    return false;
  }, (problem) => {
    if (problem) fillAlert(alert, problem.message, problem.code);
    else alert.hidden = true;
    return !problem || problem.passes;
  });

  async function open(job) {
    const reviewed = hasReview(job) ? job : await doneOneOf(job);
    if (!reviewed) {
      waiting.textContent = "The first film of this job is not done yet. Come back when it is.";
      return;
    }
    const review = await loadReview(reviewed);
    if (isGone) return;
    waiting.remove();
    opened = openEditor(root, job, review, urlsOf(job), params.query, app);
  }

  const onKey = (event) => opened?.key(event);
  document.addEventListener("keydown", onKey);
  return {
    unmount() {
      isGone = true;
      reading.stop();
      document.removeEventListener("keydown", onKey);
      opened?.unmount();
    },
  };
}

/** Of the same family, with the same people in it: a version that is under way or failed has no path of its own. */
async function doneOneOf(job) {
  const { jobs } = await reread(`${jobUrl(job.id)}/versions`);
  const done = jobs.find((each) => each.status === "done");
  const whole = done && (await getJob(done.id));
  return whole && hasReview(whole) ? whole : null;
}

function openEditor(root, job, review, urls, query, app) {
  const note = h("div", { class: "note", role: "status", hidden: true });
  const draft = new Draft(job.id, () => (note.hidden = false));
  const edits = new Edits(job.params, draft.load());
  const undo = h("button", { type: "button", onclick: () => edits.undo() }, "Undo");
  const redo = h("button", { type: "button", onclick: () => edits.redo() }, "Redo");
  const discard = h("button", { type: "button", onclick: () => edits.discard() }, "Discard changes");
  const unsaved = h("p", { class: "note", role: "status", hidden: true }, "This edit is too large to be kept over a reload.");
  const render = renderControls(job, review, edits, (made) => {
    draft.save({});
    if (made.length === 1) return app.go(`#/jobs/${made[0].id}`);
    app.notice(`${made.length} versions are being rendered.`);
    return versions.refresh();
  });
  let editor = null;
  const onState = () => {
    undo.disabled = !edits.canUndo;
    redo.disabled = !edits.canRedo;
    discard.disabled = !Object.keys(edits.changes).length;
    render.paint(!editor?.isRefused);
  };
  edits.onChange((how) => {
    if (how === "step") unsaved.hidden = draft.save(edits.changes) || !note.hidden;
  });
  editor = new Editor(job, review, urls, edits, onState);
  const versions = versionsOf(job);
  note.append(h("p", {}, "This edit was changed in another tab. Nothing is kept here until you decide."), h("div", { class: "actions" },
    h("button", { type: "button", class: "small", onclick: () => decide(draft.load()) }, "Take over theirs"),
    h("button", { type: "button", class: "small", onclick: () => decide(null) }, "Keep mine")));

  function decide(theirs) {
    note.hidden = true;
    draft.takeOver();
    if (theirs) edits.change({ ...edits.own, ...theirs });
    draft.save(edits.changes);
  }

  root.append(note, unsaved, h("div", { class: "edit-layout" }, editor.element,
    h("div", { class: "edit-side" }, h("div", { class: "actions edit-steps", role: "group", "aria-label": "Steps" }, undo, redo, discard),
      editor.panel.element, render.element)), versions.element);
  const asked = changesIn(query);
  if (Object.keys(asked).length) {
    edits.change(asked);
    app.setQuery({}); // a reload does not ask for it again
  }
  onState();
  return {
    key(event) {
      const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
      const isRedo = (event.ctrlKey || event.metaKey) && (event.key.toLowerCase() === "y" || (isUndo && event.shiftKey));
      if (!isUndo && !isRedo) return editor.key(event);
      if (event.target.matches("input:is([type=text], [type=number])")) return false; // its own
      event.preventDefault();
      if (isRedo) edits.redo();
      else edits.undo();
      return true;
    },
    unmount() {
      draft.stop();
      editor.unmount();
      versions.unmount();
    },
  };
}
