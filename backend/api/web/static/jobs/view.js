// The view Jobs: all of them, live.

import { h, keyed, setText } from "../core/dom.js";
import { actionsOn } from "./actions.js";
import { BulkBar } from "./bulk.js";
import { onCancelling } from "./cancel.js";
import { filterOf } from "./filter.js";
import { FilterBar } from "./filter_bar.js";
import { Listing } from "./listing.js";
import { makeRow, paintRow } from "./row.js";

const HEADINGS = [["what", "Video"], ["condition", "State"], ["when", "Added"], ["do", "Actions"]];
const TIMES_MS = 30_000; // "5 minutes ago" goes on

export function mount(root, { query }, app) {
  let filter = filterOf(query);
  let listing = null;
  let heard = null; // until the first answer nobody knows whether there are any
  const seen = new Set();

  const bar = new FilterBar(filter, (changed, address) => {
    filter = changed;
    address(app, filter);
    begin();
  });
  const body = h("tbody", { role: "rowgroup" });
  const all = h("input", { type: "checkbox", "aria-label": "Pick all that are shown", onclick: () => bulk.pickAll(heard?.jobs ?? [], all.checked) });
  const table = h("table", { role: "table", class: "table jobs", "aria-label": "Jobs" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, h("th", { role: "columnheader", class: "pick" }, all),
      HEADINGS.map(([style, words]) => h("th", { role: "columnheader", class: style, scope: "col" }, words)))),
    body);
  const said = h("p", { class: "quiet", role: "status" });
  const trouble = h("p", { class: "alert", role: "alert", hidden: true });
  const empty = h("div", { class: "card empty", hidden: true });
  const more = h("button", { type: "button", hidden: true, onclick: loadMore }, "Load more");

  const proxy = { put: (job) => listing.put(job), refresh: () => listing.refresh() };
  const acts = actionsOn(app, proxy);
  const bulk = new BulkBar(acts, () => paint());
  root.append(h("div", { class: "jobs-head" }, h("h1", { tabindex: -1 }, "Jobs"), h("a", { class: "primary", href: "#/new" }, "New video")),
    bar.element, trouble, bulk.element, table, empty, h("p", { class: "jobs-foot" }, said, more));

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target.dataset.key) : seen.delete(target.dataset.key);
  });
  const stopCancelling = onCancelling((job) => (job ? listing.put(job) : paint()));
  const times = setInterval(() => document.hidden || paint(), TIMES_MS);

  function begin() {
    listing?.stop();
    heard = null;
    seen.clear();
    listing = new Listing(filter, hear, sayTrouble, (id) => seen.has(id));
  }

  function hear(now) {
    heard = now;
    for (const job of now.jobs) if (app.watch.has(job.id)) app.watch.saw(job);
    paint();
  }

  function paint() {
    if (!heard) return;
    const { jobs, counts, total } = heard;
    bulk.keep(jobs);
    const place = placeOfFocus(body);
    keyed(body, jobs, (job) => job.id, make, (row, job) => paintRow(row, job, acts, bulk.isPicked(job.id)));
    focusAgain(body, place);
    bar.paint(counts, total);
    bulk.paint(jobs);
    all.checked = jobs.length > 0 && jobs.every((job) => bulk.isPicked(job.id));
    all.indeterminate = !all.checked && jobs.some((job) => bulk.isPicked(job.id));
    table.hidden = jobs.length === 0;
    paintEmpty(jobs);
    more.hidden = !heard.more;
    setText(said, jobs.length ? `${jobs.length}${heard.more ? " of the newest jobs" : jobs.length === 1 ? " job" : " jobs"}` : "");
    const live = bar.live(counts);
    app.title(live ? `${live} under way · Jobs` : "Jobs");
  }

  function make(job) {
    const row = makeRow(job, acts, (picked, event) => bulk.pick(picked, event, heard.jobs));
    queueMicrotask(() => watcher.observe(row)); // it has its key by then
    return row;
  }

  function paintEmpty(jobs) {
    const words = jobs.length ? "" : bar.isFiltered ? "No job fits. " : "Nothing here yet. ";
    empty.hidden = !words;
    if (!words || empty.dataset.words === words) return;
    empty.dataset.words = words;
    empty.replaceChildren(h("p", {}, words, bar.isFiltered ? h("a", { href: "#/jobs" }, "Show all jobs") : h("a", { href: "#/new" }, "Start with a video")));
  }

  function sayTrouble(problem) {
    trouble.hidden = !problem;
    setText(trouble, problem?.message ?? "");
  }

  async function loadMore() {
    more.disabled = true;
    const count = heard.jobs.length;
    try {
      await listing.more();
      body.children[count]?.querySelector("a").focus(); // the first of the new ones
    } catch (problem) {
      sayTrouble(problem);
    } finally {
      more.disabled = false;
    }
  }

  app.title("Jobs");
  begin();
  return {
    unmount() {
      listing.stop();
      watcher.disconnect();
      stopCancelling();
      clearInterval(times);
      bar.stop();
    },
    readdress(changed) {
      filter = filterOf(changed);
      bar.show(filter);
      begin();
    },
  };
}

/** Where the focus is in the list: a row that goes takes it along. */
function placeOfFocus(body) {
  const row = document.activeElement?.closest?.("tr");
  return row?.parentElement === body ? { row, index: [...body.children].indexOf(row) } : null;
}

function focusAgain(body, place) {
  if (!place || place.row.isConnected) return;
  const next = body.children[Math.min(place.index, body.children.length - 1)];
  (next?.querySelector("a") ?? body.closest("section").querySelector("h1")).focus();
}
