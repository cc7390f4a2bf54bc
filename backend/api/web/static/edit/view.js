import { h } from "../core/dom.js";

export function mount(root, params, app) {
  app.title("Edit");
  root.append(h("h1", { tabindex: -1 }, "Edit"));
  return { unmount() {} };
}
