// Asks for a key when the server wants one. The key goes to the server once; a cookie that no script reads stands for it.

import { byId, fillAlert } from "./dom.js";

const SESSION = "/api/v1/session";
const dialog = byId("sign-in");
const form = byId("sign-in-form");
const key = byId("key");
const error = byId("sign-in-error");
const leave = byId("sign-out");
let waiting = null; // one dialog for all that wait for it

/** Resolves once somebody signed in. */
export function signedIn() {
  waiting ??= new Promise((resolve) => {
    error.hidden = true;
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (!(await show(key.value.trim()))) return;
      form.reset();
      waiting = null;
      dialog.close();
      resolve();
    };
    dialog.showModal();
  });
  return waiting;
}

/** Says whose page this is, where that takes a key. */
export async function showWhoIsIn() {
  try {
    const answer = await fetch(SESSION, { cache: "no-store" });
    const session = answer.ok ? await answer.json() : null;
    leave.hidden = !session?.key;
    if (session?.key) leave.textContent = `Sign out ${session.key}`;
  } catch {
    leave.hidden = true; // whatever else is asked says that the server does not answer
  }
}

/** Whether the server took the key; if not, the form says why. */
async function show(value) {
  const button = byId("sign-in-button");
  button.disabled = true;
  try {
    const answer = await fetch(SESSION, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key: value }),
    });
    const said = await answer.json();
    if (answer.ok) {
      await showWhoIsIn();
      return true;
    }
    fillAlert(error, said.detail || said.title, said.code);
  } catch {
    fillAlert(error, "The server does not answer. Check the network and try again.");
  } finally {
    button.disabled = false;
  }
  key.focus();
  return false;
}

// Without a key nothing here can be shown: the form stays, also for who presses Escape.
dialog.addEventListener("cancel", (event) => event.preventDefault());
dialog.addEventListener("close", () => waiting && dialog.showModal());
leave.addEventListener("click", async () => {
  await fetch(SESSION, { method: "DELETE" });
  location.reload();
});
