import { h } from "../core/dom.js";

export function mount(root, params, app) {
  app.title("Job");
  root.append(h("h1", { tabindex: -1 }, "Job"));
  return { unmount() {} };
}
