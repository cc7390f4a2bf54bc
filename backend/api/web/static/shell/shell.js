// What stands round every view: the banner, lines that come and go, and the server's status.

import { byId } from "../core/dom.js";
import { getStatus } from "../core/api.js";
import { poll } from "../core/poll.js";
import { mayPause, showBanner } from "./banner.js";
import { notice } from "./notices.js";
import { isWatched, onWatch, startWatching, unwatch, watchJobs } from "./watch.js";

const STATUS_MS = 10_000;
const MISSES_BEFORE_AWAY = 2; // one can be lost on its way

/** {notice, status, onStatus, watch}, as app.js describes them. */
export function startShell() {
  let status = null;
  let misses = 0;
  const listeners = new Set();

  function heard(answer) {
    status = answer;
    showBanner(status, false);
    byId("nav").querySelector('a[href="#/fleet"]').hidden = !mayPause(status);
    for (const tell of listeners) tell(status);
  }

  function unheard(problem) {
    misses = problem?.status === 0 ? misses + 1 : 0;
    showBanner(status, misses >= MISSES_BEFORE_AWAY);
  }

  const polled = poll(getStatus, heard, unheard, { firstMs: STATUS_MS, lastMs: STATUS_MS });
  const { saw } = startWatching(notice);
  return {
    notice,
    status: () => status,
    onStatus(tell) {
      listeners.add(tell);
      return () => listeners.delete(tell);
    },
    /** Asks for the status at once, as after a pause. */
    refresh: polled.now,
    watch: { add: watchJobs, has: isWatched, remove: unwatch, onChange: onWatch, saw },
  };
}
