// Asks in a dialog over the page: focus goes in, Escape goes out, and back to where it was.

import { fillAlert, h } from "./dom.js";

/**
 * Shows `fields` under a heading and calls `act(form)` for its button; an error that `act` throws is said in the dialog,
 * which stays open. Resolves to what `act` gave, or null when the person left.
 */
export function askInDialog({ title, fields, button, act, danger = false }) {
  return new Promise((resolve) => {
    let answer = null;
    const error = h("div", { class: "alert", role: "alert", hidden: true });
    const done = h("button", { type: "submit", class: danger ? "primary danger" : "primary" }, button);
    const form = h(
      "form",
      { novalidate: true },
      h("h2", { id: "dialog-title" }, title),
      fields,
      error,
      h("div", { class: "actions" }, done, h("button", { type: "button", onclick: () => dialog.close() }, "Back")),
    );
    const dialog = h("dialog", { class: "card", "aria-labelledby": "dialog-title" }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      done.disabled = true;
      try {
        answer = await act(form);
        dialog.close();
      } catch (problem) {
        fillAlert(error, problem.message, problem.code);
      } finally {
        done.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
