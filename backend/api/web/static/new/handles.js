// Where chosen files lie on the disk, over reloads, where the browser tells: going on then takes one click.

import { nameOf } from "./unfinished.js";

const STORE = "handles";

/** Keeps a file's handle (FileSystemFileHandle); null where the browser gave none. */
export async function keepHandle(file, handle) {
  if (handle) await quietly(() => inStore("readwrite", (store) => store.put(handle, nameOf(file))));
}

export async function forgetHandle(file) {
  await quietly(() => inStore("readwrite", (store) => store.delete(nameOf(file))));
}

/** The handle of the file that `record` is about, or null. */
export async function handleOf(record) {
  return (await quietly(() => inStore("readonly", (store) => store.get(nameOf(record))))) ?? null;
}

/** The file, asking the person where the browser wants that: call it from a click. Null where it is gone or forbidden. */
export async function fileOf(handle) {
  return quietly(async () => {
    if ((await handle.requestPermission({ mode: "read" })) !== "granted") return null;
    return handle.getFile();
  });
}

function inStore(mode, act) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("framefleet", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const asked = act(database.transaction(STORE, mode).objectStore(STORE));
      asked.transaction.oncomplete = () => (database.close(), resolve(asked.result));
      asked.transaction.onabort = () => (database.close(), reject(asked.transaction.error));
    };
  });
}

/** Without it a person chooses the file again. */
async function quietly(act) {
  try {
    return await act();
  } catch {
    return null;
  }
}
