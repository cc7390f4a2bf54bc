// Goes from view to view as the address after # says, asks before something is lost, and puts the focus where it belongs.

import { h } from "./dom.js";

const OLD_JOB = /^#job=(.*)$/;

/**
 * `views`: [{path, names?, nav, load}] as app.js lists them; the first whose `path` fits the address is shown, else
 * `nowhere`.
 */
export function startRouter(views, nowhere, { main, app, nav }) {
  let shown = null; // {address, handle}
  let turn = 0; // a view that is still loading when another is asked for is not shown

  async function route() {
    const old = OLD_JOB.exec(location.hash);
    if (old) return location.replace(`#/jobs/${old[1]}`);
    if (location.hash === "#view") return main.focus(); // the skip link
    const address = location.hash;
    if (shown?.address === address) return;
    const question = shown?.handle.canLeave?.();
    if (question && !window.confirm(question)) return history.pushState(null, "", shown.address || "#/");
    await show(address);
  }

  async function show(address) {
    const mine = ++turn;
    const place = address.replace(/^#\/?/, "");
    const view = views.find((each) => each.path.test(place)) ?? nowhere;
    const found = view.path.exec(place);
    const params = Object.fromEntries((view.names ?? []).map((name, index) => [name, found[index + 1].toLowerCase()]));
    const { mount } = await view.load();
    if (mine !== turn) return;
    const first = shown === null;
    shown?.handle.unmount();
    for (const link of nav.querySelectorAll("a")) {
      if (link.getAttribute("href") === view.nav) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const root = h("section");
    main.replaceChildren(root);
    shown = { address, handle: mount(root, params, app) };
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
  route();
}
