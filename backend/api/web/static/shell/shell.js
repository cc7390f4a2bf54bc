// What stands round every view: the banner, lines that come and go, and the server's status.

import { byId, h } from "../core/dom.js";
import { getStatus } from "../core/api.js";
import { poll } from "../core/poll.js";

const NOTICE_MS = 8000;
const STATUS_MS = 10_000;

/** {notice, status, onStatus}, as app.js describes them. */
export function startShell() {
  let status = null;
  const listeners = new Set();
  poll(
    getStatus,
    (answer) => {
      if (!answer) return;
      status = answer;
      for (const tell of listeners) tell(status);
    },
    () => true,
    { firstMs: STATUS_MS, lastMs: STATUS_MS },
  );
  return {
    notice,
    status: () => status,
    onStatus(tell) {
      listeners.add(tell);
      return () => listeners.delete(tell);
    },
  };
}

function notice(words, { undo = null } = {}) {
  const line = h("p", { class: "notice" }, h("span", {}, words));
  const gone = setTimeout(() => line.remove(), NOTICE_MS);
  if (undo) {
    line.append(h("button", { type: "button", class: "plain", onclick: () => (clearTimeout(gone), line.remove(), undo()) }, "Undo"));
  }
  byId("notices").append(line);
}
