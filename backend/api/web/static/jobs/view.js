import { h } from "../core/dom.js";

export function mount(root, params, app) {
  app.title("Jobs");
  root.append(h("h1", { tabindex: -1 }, "Jobs"));
  return { unmount() {} };
}
