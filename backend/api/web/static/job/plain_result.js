// A result without a camera path: the film, the sound, or nothing that plays.

import { filmProblem, jobUrl } from "../core/api.js";
import { fillAlert, h } from "../core/dom.js";
import { resultType } from "../core/words.js";

const RENEW_AFTER_MS = 10_000; // a film that fails at once again is not one whose link ran out

/** Fills `root`. Returns {unmount}. */
export function mountPlainResult(root, job) {
  const type = resultType(job);
  if (type === "result") return { unmount() {} };
  const trouble = h("div", { id: "video-error", class: "alert", role: "alert", hidden: true });
  const film = h("video", { id: "video", controls: true, playsinline: true, preload: "metadata", src: `${jobUrl(job.id)}/output`, "aria-label": "Result" });
  let renewedAt = 0;
  film.addEventListener("loadedmetadata", () => (trouble.hidden = true));
  film.addEventListener("error", async () => {
    if (!film.getAttribute("src")) return;
    const problem = await filmProblem(job.id);
    if (!problem && film.readyState > 0 && Date.now() - renewedAt > RENEW_AFTER_MS) return playOn();
    // Without a problem the bytes are there: the browser lacks the codec.
    fillAlert(trouble, problem?.message ?? "The film cannot be played here. Reload the page, or download it.", problem?.code);
  });

  /** Links to the store's host run out after minutes: the film goes on where it was, by a new one. */
  function playOn() {
    const { currentTime, paused } = film;
    renewedAt = Date.now();
    film.addEventListener("loadedmetadata", () => {
      film.currentTime = currentTime;
      if (!paused) film.play();
    }, { once: true });
    film.load();
  }

  root.append(h("div", { class: "screen" }, film), trouble);
  return {
    unmount() {
      film.removeAttribute("src");
      film.load();
    },
  };
}
