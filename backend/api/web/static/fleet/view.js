import { h } from "../core/dom.js";

export function mount(root, params, app) {
  app.title("Fleet");
  root.append(h("h1", { tabindex: -1 }, "Fleet"));
  return { unmount() {} };
}
