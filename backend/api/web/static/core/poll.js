// Asks again and again: soon at first, then less often, not at all while nobody looks.

const FIRST_MS = 1000;
const LAST_MS = 5000;
const GROWTH = 1.15;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Calls `read` until `onValue` returns false, or `onTrouble` does for an error.
 * `onTrouble(null)` says that the trouble is over. `pauseMs()`: how long to wait, where it depends on what was heard.
 * Returns {stop, now}: `now()` asks at once.
 */
export function poll(read, onValue, onTrouble, { firstMs = FIRST_MS, lastMs = LAST_MS, pauseMs = null } = {}) {
  let delay = firstMs;
  let failures = 0;
  let timer = 0;
  let busy = false;
  let again = false; // asked for while an answer was on its way
  let stopped = false;

  async function tick() {
    if (stopped) return;
    if (busy) return void (again = true);
    busy = true;
    clearTimeout(timer);
    const pause = await step();
    busy = false;
    if (!stopped && !document.hidden) timer = setTimeout(tick, again ? 0 : pause);
    again = false;
  }

  async function step() {
    let value;
    try {
      value = await read();
    } catch (error) {
      return stopped ? 0 : troubled(error);
    }
    if (stopped) return 0;
    if (failures) onTrouble(null);
    failures = 0;
    if (onValue(value) === false) stop();
    delay = Math.min(delay * GROWTH, lastMs);
    return pauseMs ? pauseMs() : delay;
  }

  function troubled(error) {
    failures += 1;
    const pause = Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
    if (onTrouble(error, pause) === false) stop();
    return pause;
  }

  function wake() {
    clearTimeout(timer);
    if (document.hidden) return;
    delay = firstMs;
    tick();
  }

  function stop() {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", wake);
    window.removeEventListener("online", wake);
  }

  document.addEventListener("visibilitychange", wake);
  window.addEventListener("online", wake);
  tick(); // a tab opened in the background reads once, for its title
  return { stop, now: wake };
}
