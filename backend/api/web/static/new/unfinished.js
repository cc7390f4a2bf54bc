// Which upload a file belongs to, over reloads. A file is known by its name, size and time of change.

const PREFIX = "framefleet-upload:";
const KEPT_MS = 24 * 3600 * 1000; // about as long as the server keeps it

const keyOf = (file) => `${PREFIX}${file.name}:${file.size}:${file.lastModified}`;

export function remember(file, id) {
  quietly(() => localStorage.setItem(keyOf(file), JSON.stringify({ id, name: file.name, at: Date.now() })));
}

export function forget(file) {
  quietly(() => localStorage.removeItem(keyOf(file)));
}

/** The upload's id, or null. */
export function remembered(file) {
  return read(keyOf(file))?.id ?? null;
}

/** Names of files that were not sent to their end; older ones are forgotten. */
export function unfinishedNames() {
  return quietly(() => {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
    const old = keys.filter((key) => !(Date.now() - read(key)?.at < KEPT_MS));
    for (const key of old) localStorage.removeItem(key);
    return keys.filter((key) => !old.includes(key)).map((key) => read(key).name);
  }) ?? [];
}

function read(key) {
  return quietly(() => JSON.parse(localStorage.getItem(key)));
}

/** Storage may be full, or closed to this page: then a reload begins anew. */
function quietly(act) {
  try {
    return act();
  } catch {
    return null;
  }
}
