// What concerns every view: the fleet is paused, nobody works, the server is away.

import { byId, h } from "../core/dom.js";
import { ago, listed } from "../core/words.js";

let said = "";

/** `status` as the server tells it, `away` when it does not answer. */
export function showBanner(status, away) {
  const banner = away ? AWAY : status?.paused ? paused(status) : status ? idle(status) : null;
  const key = JSON.stringify(banner);
  if (key === said) return; // a screen reader would say it anew
  said = key;
  byId("banner").replaceChildren(...(banner ? [built(banner, mayPause(status))] : []));
}

export const mayPause = (status) => Boolean(status?.scopes?.includes("fleet:admin"));

const AWAY = { calm: true, title: "The server does not answer.", words: "This page goes on by itself when it does." };

function paused({ paused_by, paused_at, reason }) {
  const facts = [paused_by && `by ${paused_by}`, paused_at && ago(paused_at)].filter(Boolean).join(", ");
  return {
    title: `The fleet is paused${facts ? ` (${facts})` : ""}${reason ? ":" : "."}`,
    reason,
    words: "Nothing new begins until it is resumed; what is in work goes on.",
  };
}

/** In calmer words: workers that are started on demand are rightly away. */
function idle({ workers }) {
  if (!workers) return null;
  const away = Object.entries({ chunk: "looks at videos", analysis: "puts films together" })
    .filter(([role]) => workers[role] === 0)
    .map(([, does]) => does);
  if (!away.length) return null;
  return { calm: true, title: `No worker that ${listed(away, "or")} is running now.`, words: "Jobs wait and go on by themselves when one starts." };
}

function built({ calm, title, reason, words }, canResume) {
  return h(
    "div",
    { class: calm ? "banner calm" : "banner" },
    h("p", {}, h("strong", { dir: "auto" }, title), reason && [" ", h("q", { dir: "auto" }, reason)], ` ${words}`),
    !calm && canResume && h("a", { href: "#/fleet" }, "See the fleet"),
  );
}
