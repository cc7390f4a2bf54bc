// Source and result side by side under one transport. The frame shown is a frame of the source, by its time.

import { h } from "../core/dom.js";
import { nearest } from "./data.js";

const FAR_SEC = 0.2; // the result is set anew when it is further from the source than that while both play
const NEAR_SEC = 0.03;
const CATCH_UP = 0.08; // how much faster or slower it goes to come near again
const CALIBRATE_MS = 10_000; // then the film is taken to begin at its first frame
const CREEP_RATE = 0.0625; // the slowest that browsers play
const CREEP_MS = 3000;
const CREEP_TRIES = 8; // a busy machine may run past the frame
const SHOWN_MS = 600; // a picture that comes later than this after its seek is taken for another one
const RELOAD_AFTER_MS = 10_000; // links to the store run out: a film that fails at once again has another fault

/** One film element, whose clock is brought to that of the frames. */
class Film {
  constructor(timesSec, label, muted) {
    this.timesSec = timesSec;
    this.video = h("video", { playsinline: true, preload: "auto", "aria-label": label, muted, disablepictureinpicture: true });
    this.video.muted = muted;
    this.offsetSec = null; // its time of the film's first frame
    this.url = null;
    this.renewedAt = 0;
    this.isCreeping = this.hasCrept = false;
    this.video.addEventListener("seeked", () => this.#settle());
  }

  #notes = false;
  #shownSec = 0; // of the picture that stands there
  #wanted = null;
  #seeks = 0;
  #triesLeft = 0;
  #arrived = null;
  #isSettling = false;

  /** Resolves when its first picture is there; rejects where the browser cannot show it. */
  load(url) {
    this.url = url;
    this.offsetSec = null;
    const { video } = this;
    return new Promise((resolve, reject) => {
      video.onerror = () => reject(new Error("unplayable"));
      // A file whose pictures the browser cannot decode is sound alone.
      video.onloadedmetadata = () => video.videoWidth || reject(new Error("no picture"));
      video.onloadeddata = () => video.videoWidth && this.#calibrate().then(resolve);
      video.src = url;
    });
  }

  /** Where the first frame lies on the player's clock: containers begin at times of their own. */
  async #calibrate() {
    await seen(); // a page that nobody sees shows no pictures
    const first = await new Promise((resolve) => {
      const done = setTimeout(() => resolve(0), CALIBRATE_MS);
      this.video.requestVideoFrameCallback((_, { mediaTime }) => (clearTimeout(done), resolve(mediaTime)));
      this.video.currentTime = 0;
    });
    this.offsetSec = first;
    if (this.#notes) return; // another film is loaded in its place
    this.#notes = true;
    const noted = (_, { mediaTime }) => {
      this.#shownSec = mediaTime;
      this.#arrived?.();
      this.#settle();
      this.video.requestVideoFrameCallback(noted);
    };
    this.video.requestVideoFrameCallback(noted);
  }

  /** `isWhole`: whether it has every frame, so that the one asked for is there to be shown. */
  seek(frame, isWhole) {
    this.stopCreeping();
    this.#wanted = isWhole ? frame : null;
    this.#triesLeft = CREEP_TRIES;
    this.#shownSec = -Infinity;
    this.video.currentTime = this.timeOf(frame);
  }

  /** Each picture that comes after a seek is looked at: the frame asked for may have stood there before it, and another one now. */
  async #settle() {
    const { video } = this;
    const stands = video.paused && !video.seeking && this.isReady;
    if (this.#isSettling || this.#wanted === null || !stands || this.frameAt(this.#shownSec) === this.#wanted) return;
    this.#isSettling = true;
    await this.#creep(this.#wanted, this.#seeks);
    this.#isSettling = false;
  }

  /** After a seek Chromium believes the container about how long a picture is shown, which with B-frames and a varying rate is
   * the time of another one: an earlier frame may stand there. It shows the right one as soon as it plays, so it does, slowly. */
  async #creep(frame, seeks) {
    const isOver = () => this.#seeks !== seeks; // somebody wants something else by now
    // A picture that was shown before the seek may be told of after it, so a later frame says nothing yet.
    const isThere = () => this.frameAt(this.#shownSec) === frame;
    await this.#until(() => isOver() || isThere(), SHOWN_MS);
    if (isOver() || isThere()) return;
    if (this.video.ended) return this.#comeFromBefore(frame); // it would play from its beginning
    const { muted, playbackRate } = this.video;
    this.isCreeping = this.hasCrept = true;
    Object.assign(this.video, { muted: true, playbackRate: CREEP_RATE });
    this.#shownSec = -Infinity;
    this.video.play().catch(unlessPaused);
    await this.#until(() => isOver() || this.frameAt(this.#shownSec) >= frame, CREEP_MS);
    Object.assign(this.video, { muted, playbackRate });
    if (isOver()) return;
    const isTooFar = this.frameAt(this.#shownSec) > frame;
    this.stopCreeping();
    if (isTooFar && this.#triesLeft-- > 0) this.#comeFromBefore(frame);
  }

  #comeFromBefore(frame) {
    this.#wanted = frame;
    this.#shownSec = -Infinity;
    this.video.currentTime = this.timeOf(Math.max(0, frame - 1));
  }

  /** Resolves when the condition holds after a picture came, or after the time. */
  #until(condition, milliseconds) {
    return new Promise((resolve) => {
      if (condition()) return resolve();
      setTimeout(resolve, milliseconds);
      this.#arrived = () => condition() && resolve();
    });
  }

  /** What plays or seeks next has the film for itself. */
  stopCreeping() {
    if (this.isCreeping) this.video.pause();
    this.isCreeping = false;
    this.#wanted = null;
    this.#seeks += 1;
    this.#arrived?.();
    this.#arrived = null;
  }

  mayPlay() {
    this.stopCreeping();
    this.hasCrept = false;
  }

  frameAt(mediaTime) {
    return nearest(this.timesSec, mediaTime - this.offsetSec);
  }

  /** The middle of the time that the frame is shown for: the player's rounding cannot reach its neighbours. */
  timeOf(frame) {
    const { timesSec } = this;
    const next = frame + 1 < timesSec.length ? timesSec[frame + 1] : timesSec[frame] + 0.02;
    return this.offsetSec + (timesSec[frame] + next) / 2;
  }

  get isReady() {
    return this.offsetSec !== null;
  }
}

export class Player {
  /** `urls`: {sourceUrl, previewUrl, resultUrl}, each null where there is none. The source comes first, then the preview. */
  constructor(review, { sourceUrl, previewUrl, resultUrl }) {
    this.review = review;
    this.frame = 0;
    this.usesPreview = false;
    this.trouble = "";
    this.#urls = [sourceUrl, previewUrl].filter(Boolean);
    this.#previewUrl = previewUrl;
    this.#source = new Film(review.timesSec, "Source", false);
    this.#result = resultUrl ? new Film(review.timesSec, "Result", true) : null;
    this.picture = h("div", { class: "picture of-source" }, this.#source.video);
    this.element = h("div", { class: "player" }, this.picture);
    if (this.#result) this.element.append(h("div", { class: "picture of-result" }, this.#result.video));
    // Nothing below jumps when the first picture comes.
    this.video.style.aspectRatio = review.frameSize.join(" / ");
    if (this.#result) this.#result.video.style.aspectRatio = review.outputSize.join(" / ");
    this.ready = this.#load(resultUrl);
    this.#source.video.addEventListener("ended", () => this.#source.hasCrept || this.#stand(review.timesSec.length - 1));
    for (const film of [this.#source, this.#result]) film?.video.addEventListener("error", () => this.#renew(film));
  }

  #source;
  #result;
  #urls;
  #previewUrl;
  #listeners = new Set();
  #rate = 1;
  #wanted = null; // the frame that a seek goes to
  #gone = false;

  get video() {
    return this.#source.video;
  }

  get resultVideo() {
    return this.#result?.video ?? null;
  }

  get paused() {
    return this.#source.video.paused || this.#source.isCreeping;
  }

  async #load(resultUrl) {
    const result = this.#result?.load(resultUrl).catch(() => {
      this.trouble = "The result cannot be played here. Download it.";
      this.#result = null;
    });
    for (const url of this.#urls) {
      try {
        await this.#source.load(url);
        this.usesPreview = url === this.#previewUrl;
        break;
      } catch {
        // The next one may play.
      }
    }
    await result;
    if (this.#gone) return;
    if (!this.#source.isReady) this.trouble = "This browser cannot decode the source, and there is no preview of it.";
    else this.#watch();
    this.seek(this.frame);
  }

  seek(frame) {
    this.frame = Math.max(0, Math.min(this.review.timesSec.length - 1, frame));
    this.#wanted = this.frame;
    for (const film of [this.#source, this.#result]) if (film?.isReady) film.seek(this.frame, film === this.#result || !this.usesPreview);
    this.#tell();
  }

  step(count) {
    this.pause();
    this.seek(this.frame + count);
  }

  async play() {
    if (this.frame >= this.review.timesSec.length - 1) this.seek(0);
    this.#wanted = null;
    const films = [this.#source, this.#result].filter((film) => film?.isReady);
    for (const film of films) film.mayPlay();
    await Promise.all(films.map((film) => film.video.play().catch(unlessPaused)));
    this.#tell();
  }

  /** Both stand on the same frame afterwards. */
  pause() {
    if (!this.paused) this.#stand();
  }

  #stand(frame = this.frame) {
    for (const film of [this.#source, this.#result]) film?.video.pause();
    this.seek(frame);
  }

  setRate(rate) {
    this.#rate = rate;
    for (const film of [this.#source, this.#result]) if (film) film.video.playbackRate = rate;
  }

  /** `tell(frame)` at each change. Returns what ends it. */
  onFrame(tell) {
    this.#listeners.add(tell);
    return () => this.#listeners.delete(tell);
  }

  destroy() {
    this.#gone = true;
    this.#listeners.clear();
    for (const film of [this.#source, this.#result]) {
      film?.video.removeAttribute("src");
      film?.video.load();
    }
  }

  #watch() {
    const { video } = this.#source;
    const shown = (_, { mediaTime }) => {
      if (this.#gone) return;
      video.requestVideoFrameCallback(shown);
      const frame = this.#source.frameAt(mediaTime);
      // The preview has fewer pictures than the film has frames: what was asked for stays.
      if (this.#wanted !== null && (this.usesPreview || frame !== this.#wanted)) return;
      this.frame = frame;
      if (!this.paused) this.#follow();
      this.#tell();
    };
    video.requestVideoFrameCallback(shown);
  }

  /** The source's time of the film's first frame; null before its first picture is there. */
  get startSec() {
    return this.#source.offsetSec;
  }

  /** Brings the result to where the source is, without a jump where that will do. */
  #follow() {
    const film = this.#result;
    if (!film?.isReady || film.video.seeking) return;
    const behind = this.#source.video.currentTime - this.#source.offsetSec - (film.video.currentTime - film.offsetSec);
    if (Math.abs(behind) > FAR_SEC) film.video.currentTime += behind;
    const nudge = Math.abs(behind) < NEAR_SEC ? 0 : Math.sign(behind) * CATCH_UP;
    film.video.playbackRate = this.#rate * (1 + nudge);
  }

  /** Links to the store run out after minutes: the film goes on by a new one. */
  async #renew(film) {
    if (this.#gone || !film.isReady || Date.now() - film.renewedAt < RELOAD_AFTER_MS) return;
    film.renewedAt = Date.now();
    const wasPlaying = !this.paused;
    try {
      await film.load(film.url);
      this.seek(this.frame);
      if (wasPlaying) await this.play();
    } catch {
      this.trouble = "A film cannot be played any more. Reload the page.";
      this.#tell();
    }
  }

  #tell() {
    for (const tell of this.#listeners) tell(this.frame);
  }
}

/** Resolves when somebody looks at the page. */
function seen() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

/** A pause before the first picture ends the play: that is what was asked for. */
function unlessPaused(error) {
  if (error.name !== "AbortError") throw error;
}
