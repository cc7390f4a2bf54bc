// Which view is up. Each lives in a folder of its own and exports
//
//   mount(root, params, app) → {unmount(), canLeave?(), readdress?(query)}
//
// `root`: an empty <section>, the view's own until `unmount`. Its first <h1> gets tabindex -1 and the focus.
// `params`: from the address, such as {id}; `params.query`: what follows "?", as URLSearchParams. `app`: below.
// `readdress(query)`: the address changed after "?" alone. A view without it is mounted anew.
// `canLeave()`: a question to ask before the person leaves ("The upload is not done. Leave?"), or "" to let them go.

import { h, byId } from "./core/dom.js";
import { startRouter } from "./core/router.js";
import { showWhoIsIn } from "./core/sign_in.js";
import { startCancelling } from "./jobs/cancel.js";
import { startStrip } from "./new/strip.js";
import { showInIcon } from "./shell/icon.js";
import { startShell } from "./shell/shell.js";

const UUID = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})";
const VIEWS = [
  { path: /^(?:new)?$/, nav: "#/new", load: () => import("./new/view.js") },
  { path: /^jobs$/, nav: "#/jobs", load: () => import("./jobs/view.js") },
  { path: new RegExp(`^jobs/${UUID}$`, "i"), names: ["id"], nav: "#/jobs", load: () => import("./job/view.js") },
  { path: new RegExp(`^jobs/${UUID}/edit$`, "i"), names: ["id"], nav: "#/jobs", load: () => import("./edit/view.js") },
  { path: /^fleet$/, nav: "#/fleet", load: () => import("./fleet/view.js") },
];
const NOWHERE = { path: /^/, nav: "", load: async () => ({ mount: mountNowhere }) };

const main = byId("view");
const shell = startShell();

/** What a view may use of the page around it. */
const app = {
  /** Goes to an address such as "#/jobs"; with `replace`, without a step in the browser's history. */
  go: (address, { replace = false } = {}) => (replace ? location.replace(address) : location.assign(address)),
  /** Writes {name: text} after "?" of the address; nothing is mounted or told. Empty values are left out. */
  setQuery: (values) => router.setQuery(new URLSearchParams(Object.entries(values).filter(([, text]) => text))),
  /** The document's title, "" for the page's own, and what its icon shows: percent, "done", "failed" or null. */
  title(words, state = null) {
    document.title = words ? `${words} · framefleet` : "framefleet";
    showInIcon(state);
  },
  /** A line that goes by itself, beside nothing in particular: notice(words, {undo, href, link}). */
  notice: shell.notice,
  /** The server's status (GET /api/v1/status), or null before the first answer; `onStatus(fn)` hears of each change. */
  status: shell.status,
  onStatus: shell.onStatus,
  /** Asks for the status at once: after a pause. */
  refresh: shell.refresh,
  /** Tells of the end of jobs where the person asked for it; see shell/watch.js. */
  watch: shell.watch,
};

function mountNowhere(root) {
  app.title("Not found");
  root.append(
    h("h1", { tabindex: -1 }, "There is no such view"),
    h("p", { class: "lead" }, "The address may have been cut off. ", h("a", { href: "#/jobs" }, "See all jobs"), " or ",
      h("a", { href: "#/new" }, "start a new one"), "."),
  );
  return { unmount() {} };
}

const router = startRouter(VIEWS, NOWHERE, { main, app, nav: byId("nav") });
startCancelling(shell.notice);
startStrip(shell.notice);
showWhoIsIn();
