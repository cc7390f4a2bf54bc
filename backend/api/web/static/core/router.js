// Goes from view to view as the address after # says, asks before something is lost, and puts the focus where it belongs.

import { h } from "./dom.js";

const OLD_JOB = /^#job=(.*)$/;
const HARMLESS = new Set(["AbortError", "NotAllowedError"]); // of a film that was to play and is gone, or may not yet
const BROKEN = "This part of the page broke. Your jobs go on: they run on the server.";

/**
 * `views`: [{path, names?, nav, load}] as app.js lists them; the first whose `path` fits the address is shown, else
 * `nowhere`. What follows "?" comes as `params.query` (URLSearchParams). When it alone changes, a view that has
 * `readdress(query)` stays and is told; others are mounted anew. `setQuery(query)` writes it into the address without
 * either. Returns {setQuery}.
 */
export function startRouter(views, nowhere, { main, app, nav }) {
  let shown = null; // {address, place, handle}
  let turn = 0; // a view that is still loading when another is asked for is not shown

  async function route() {
    const old = OLD_JOB.exec(location.hash);
    if (old) return location.replace(`#/jobs/${old[1]}`);
    if (location.hash === "#view") return skipTo(main, shown);
    const address = location.hash;
    if (shown?.address === address) return;
    const { place, query } = parsed(address);
    if (shown?.place === place && shown.handle.readdress) {
      shown.address = address;
      return shown.handle.readdress(query);
    }
    const question = shown?.handle.canLeave?.();
    if (question && !window.confirm(question)) return history.pushState(null, "", shown.address || "#/");
    await show(address);
  }

  async function show(address) {
    const mine = ++turn;
    const { place, query } = parsed(address);
    const view = views.find((each) => each.path.test(place)) ?? nowhere;
    const found = view.path.exec(place);
    const params = Object.fromEntries((view.names ?? []).map((name, index) => [name, found[index + 1].toLowerCase()]));
    const { mount } = await view.load().catch(failedToLoad);
    if (mine !== turn) return;
    const first = shown === null;
    shown?.handle.unmount();
    markPlace(nav, view.nav);
    const root = h("section");
    main.replaceChildren(root);
    shown = { address, place, handle: mounted(mount, root, { ...params, query }, app) };
    const heading = root.querySelector("h1");
    if (heading && !root.getAttribute("aria-labelledby")) {
      heading.id ||= "view-title";
      root.setAttribute("aria-labelledby", heading.id);
    }
    if (first) return;
    window.scrollTo(0, 0);
    heading?.focus({ preventScroll: true });
  }

  window.addEventListener("hashchange", route);
  window.addEventListener("beforeunload", (event) => shown?.handle.canLeave?.() && event.preventDefault());
  window.addEventListener("error", (event) => event.error && sayBroken(main)); // no error: a ResizeObserver that was late
  window.addEventListener("unhandledrejection", ({ reason }) => HARMLESS.has(reason?.name) || sayBroken(main));
  route();
  return {
    setQuery(query) {
      const words = String(query);
      shown.address = `#/${shown.place}${words ? `?${words}` : ""}`;
      history.replaceState(null, "", shown.address);
    },
  };
}

function parsed(address) {
  const [place, words = ""] = address.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { place, query: new URLSearchParams(words) };
}

/** The skip link changes nothing but the focus. */
function skipTo(main, shown) {
  history.replaceState(null, "", shown?.address || "#/");
  main.focus();
}

function markPlace(nav, place) {
  for (const link of nav.querySelectorAll("a")) {
    if (link.getAttribute("href") === place) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function failedToLoad(error) {
  reportError(error);
  return { mount: mountBroken };
}

function mounted(mount, root, params, app) {
  try {
    return mount(root, params, app);
  } catch (error) {
    reportError(error);
    root.replaceChildren();
    return mountBroken(root, params, app);
  }
}

function mountBroken(root, params, app) {
  app.title("Something broke");
  root.append(h("h1", { tabindex: -1 }, "This view cannot be shown"), wayHome("p", "lead"));
  return { unmount() {} };
}

/** A view that stands stays: something typed may be in it. */
function sayBroken(main) {
  const root = main.firstElementChild;
  if (!root || root.querySelector("[data-broken]")) return;
  root.prepend(h("div", { class: "alert", role: "alert", dataset: { broken: "" } }, wayHome("p")));
}

function wayHome(tag, style = null) {
  return h(tag, { class: style, dataset: { broken: "" } }, `${BROKEN} `,
    h("a", { href: location.href, onclick: () => location.reload() }, "Load the page again"), " or ",
    h("a", { href: "#/jobs" }, "see all jobs"), ".");
}
