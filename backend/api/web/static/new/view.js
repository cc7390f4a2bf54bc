import { h } from "../core/dom.js";

export function mount(root, params, app) {
  app.title("New video");
  root.append(h("h1", { tabindex: -1 }, "New video"));
  return { unmount() {} };
}
