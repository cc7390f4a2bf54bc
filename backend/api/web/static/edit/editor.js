// The editor: the picture with the window to take hold of, the result beside it, and the path solved anew at each change.

import { h, setText } from "../core/dom.js";
import { percent } from "../core/words.js";
import { shown } from "../review/review.js";
import { Overlay } from "../review/overlay.js";
import { Player } from "../review/player.js";
import { Timeline } from "../review/timeline.js";
import { Transport } from "../review/transport.js";
import { ByKeys } from "./by_keys.js";
import { toggled } from "./follow.js";
import { Handles } from "./handles.js";
import { frameOf, inside, move, neighbour, pin, pinWidth, pinnedAt, shotOf } from "./keyframes.js";
import { Panel } from "./panel.js";
import { panelsAt } from "../review/data.js";
import { laidOver, pathOf, windowAt } from "./path.js";
import { ResultPicture } from "./result.js";
import { Solver } from "./solver.js";

const REFUSED = 422;
const MEASURE = "solve-to-screen"; // from the event to the new path on the screen, read by benchmarks/web.py
const MOST_MEASURES = 1000;

export class Editor {
  /** `urls`: as a Player takes them, the result left out. `onState()`: whether it can be rendered may have changed. */
  constructor(job, review, urls, edits, onState) {
    this.#edits = edits;
    this.#review = review;
    this.#onState = onState;
    this.#path = pathOf(review);
    this.#player = new Player(review, { ...urls, resultUrl: null });
    this.#overlay = new Overlay(this.#player);
    this.#timeline = new Timeline(review);
    this.#transport = new Transport(this.#player);
    this.#result = new ResultPicture(review.frameSize);
    const windowNow = () => this.#window();
    this.#handles = new Handles(this.#overlay, review, {
      windowNow,
      onDrag: (window, how, event) => this.#drag(window, how, event),
      onDrop: (window, how, event) => this.#drop(window, how, event),
      onCancel: () => this.#letGo(),
    });
    this.#byKeys = new ByKeys({
      windowNow, film: review,
      moved: (window, how, event) => this.#moved(window, how, event),
      pinned: (event) => this.#moved(this.#window(), "move", event),
      unpinned: (event) => this.#unpin(event),
      toKeyframe: (by) => this.toKeyframe(by),
    });
    this.panel = new Panel(edits, review, () => shotOf(review, this.#player.frame));
    this.#status = h("p", { class: "quiet edit-status", role: "status" }, "Getting ready: the server reads who was found.");
    this.#player.element.append(this.#result.element);
    this.element = h("div", { class: "edit-stage", "aria-busy": "true" },
      this.#player.element, this.panel.trouble, this.#status, this.#byKeys.element, this.#transport.element, this.#timeline.element);
    this.#solver = new Solver(job.id, {
      onPath: (solved, sinceMs) => this.#take(solved, sinceMs),
      onTrouble: (problem) => this.#sayTrouble(problem),
    });
    this.#listen();
    this.#paintEdit();
    this.#player.seek(0);
    this.#solver.whole(edits.changes);
  }

  #edits;
  #review;
  #onState;
  #path;
  #player;
  #overlay;
  #timeline;
  #transport;
  #result;
  #handles;
  #byKeys;
  #status;
  #solver;
  #held = null; // {frame, window} that somebody put there, until the path for it comes
  #sinceMs = null;
  #shot = -1;
  #problem = null;
  #gone = false;

  /** Whether the server refused the edit as it stands. */
  get isRefused() {
    return this.#problem?.status === REFUSED;
  }

  key(event) {
    if (event.target.closest("input, select, textarea, dialog")) return false;
    if (event.key !== "[" && event.key !== "]") return this.#transport.key(event);
    this.toKeyframe(event.key === "[" ? -1 : 1);
    return true;
  }

  toKeyframe(by) {
    const frame = neighbour(this.#review, this.#keyframes, this.#player.frame, by);
    if (frame !== null) this.#player.seek(frame);
  }

  unmount() {
    this.#gone = true;
    this.#solver.stop();
    this.#player.destroy();
  }

  get #keyframes() {
    return this.#edits.params.keyframes ?? [];
  }

  #listen() {
    this.#player.onFrame(() => this.#paint());
    this.#timeline.onSeek((frame) => this.#player.seek(frame));
    this.#timeline.onMark((index, frame) => this.#moveMark(index, frame));
    this.#overlay.onPick((id, event) => this.#pick(id, event));
    this.#edits.onChange((how) => this.#changed(how));
    this.#player.ready.then(() => {
      if (this.#player.trouble) setText(this.#status, this.#player.trouble);
      const { video } = this.#player;
      const redraw = () => {
        if (this.#gone) return;
        video.requestVideoFrameCallback(redraw);
        this.#drawResult();
      };
      video.requestVideoFrameCallback(redraw);
      this.#paint();
    });
  }

  /** What is shown on the frame: where somebody put the window, else the path. */
  #window() {
    const { frame } = this.#player;
    return this.#held?.frame === frame ? this.#held.window : windowAt(this.#path, frame);
  }

  /** Beside it, where the picture is split. A window that somebody puts there is the only one. */
  #panels() {
    const { frame } = this.#player;
    return this.#held?.frame === frame ? [] : panelsAt(this.#path.panels, frame);
  }

  #withWindow(window, how) {
    const put = how === "zoom" ? pinWidth : pin;
    return { keyframes: put(this.#review, this.#keyframesBefore, this.#player.frame, window) };
  }

  /** Of the edit without the drag: each move of it begins from there. */
  get #keyframesBefore() {
    return this.#edits.settled.keyframes ?? [];
  }

  #drag(window, how, event) {
    this.#player.pause();
    this.#hold(window, event);
    this.#edits.tryOut(this.#withWindow(window, how));
  }

  #drop(window, how, event) {
    this.#hold(window, event);
    this.#edits.change(this.#withWindow(window, how));
  }

  #hold(window, { timeStamp }) {
    this.#held = { frame: this.#player.frame, window, sinceMs: timeStamp };
    this.#sinceMs = timeStamp;
  }

  #letGo() {
    this.#held = null;
    this.#edits.forget();
  }

  #moved(window, how, event) {
    this.#player.pause();
    const kept = inside(this.#review, window);
    this.#hold(kept, event);
    this.#edits.change(this.#withWindow(kept, how), `${how} ${this.#player.frame}`);
  }

  #unpin(event) {
    const index = pinnedAt(this.#review, this.#keyframes, this.#player.frame);
    if (index < 0) return;
    this.#sinceMs = event.timeStamp;
    this.#edits.change({ keyframes: move(this.#review, this.#keyframes, index, null) });
  }

  #moveMark(index, frame) {
    this.#edits.change({ keyframes: move(this.#review, this.#keyframes, index, frame) }, frame === null ? "" : "mark");
    if (frame === null) return;
    this.#player.seek(frame);
    // The marks are new elements: who moved one by keys goes on with it.
    this.#timeline.element.querySelectorAll(".mark")[pinnedAt(this.#review, this.#keyframes, frame)]?.focus();
  }

  #pick(id, event) {
    const isMore = event.shiftKey || event.ctrlKey || event.metaKey;
    this.#sinceMs = event.timeStamp;
    this.panel.follow(isMore ? toggled(this.panel.mode, this.#path.subjectIds, id) : `track:${id}`);
  }

  #changed(how) {
    const sinceMs = this.#sinceMs ?? performance.now();
    const changes = { ...this.#edits.changes, ...this.#edits.trial };
    this.#sinceMs = null;
    const isStep = how === "step";
    this.#solver.near(changes, this.#review.timesSec[this.#player.frame], sinceMs, { thenWhole: isStep });
    if (!isStep) return this.#paint();
    this.element.setAttribute("aria-busy", "true");
    this.#paintEdit();
    this.#paint();
  }

  #take(solved, sinceMs) {
    this.#path = laidOver(this.#path, solved);
    // An answer to what was asked before somebody put the window there says nothing about it.
    if (!this.#edits.isTrying && sinceMs >= (this.#held?.sinceMs ?? 0)) this.#held = null;
    if (solved.certificate) this.#settled();
    requestAnimationFrame(() => {
      if (this.#gone) return;
      this.#timeline.setWindow(this.#path.window);
      this.#paint();
      // The frame after: what was drawn is on the screen by then.
      if (!solved.certificate) requestAnimationFrame((nowMs) => measured(sinceMs, nowMs));
    });
  }

  /** The path is that of the edit, or there is none. */
  #settled() {
    this.element.setAttribute("aria-busy", "false");
    if (!this.#problem) setText(this.#status, this.#statusWords());
  }

  #statusWords() {
    const { certificate, warnings, outputSize } = this.#path;
    const held = percent(certificate.holding.whole.pct);
    const said = warnings.map((words) => words.replace(/: try [^.]*\.$/, ".")); // what to try is beside it
    return [`${outputSize[0]} × ${outputSize[1]}. ${held} of the frames hold who is followed whole.`, ...said].join(" ");
  }

  #sayTrouble(problem) {
    this.#problem = problem;
    const { trouble } = this.panel;
    trouble.hidden = !problem;
    if (problem) setText(trouble, problem.message);
    if (problem?.status === REFUSED && !this.#edits.isTrying) {
      this.#held = null;
      this.element.setAttribute("aria-busy", "false");
      this.#paint();
    }
    this.#onState();
  }

  /** What changes with the edit and not with the frame. */
  #paintEdit() {
    this.#timeline.setMarks(this.#keyframes.map((keyframe, id) => ({ frame: frameOf(this.#review, keyframe), id })));
    this.panel.paint();
    this.#onState();
  }

  #paint() {
    const { frame } = this.#player;
    const window = this.#window();
    const isPinned = pinnedAt(this.#review, this.#keyframes, frame) >= 0;
    const { people } = shown(this.#review, frame, new Set(this.#path.subjectIds));
    this.#timeline.setFrame(frame);
    this.#overlay.draw({ people, window, panels: this.#panels(), keyframe: isPinned });
    this.#handles.paint(window);
    this.#byKeys.paint(window, isPinned);
    const shot = shotOf(this.#review, frame);
    this.#handles.paintCourse(this.#path.window, this.#review.shots[shot]);
    if (shot !== this.#shot) this.panel.paint();
    this.#shot = shot;
    this.#drawResult();
  }

  #drawResult() {
    this.#result.draw(this.#player.video, [this.#window(), ...this.#panels()], this.#path.outputSize, this.#edits.params.fill);
  }
}

function measured(start, end) {
  if (performance.getEntriesByName(MEASURE).length >= MOST_MEASURES) performance.clearMeasures(MEASURE);
  performance.measure(MEASURE, { start, end: Math.max(start, end) });
}
