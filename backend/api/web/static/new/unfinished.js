// Uploads that have not become a job yet, over reloads: what was to be made of which file, and how much the server has.

const PREFIX = "framefleet-upload:";
const KEPT_MS = 7 * 24 * 3600 * 1000; // longer than most servers keep what arrived: those are asked

/** A file is known by its name, size and time of change: that is all a page can see over a reload. */
export const nameOf = (file) => `${PREFIX}${file.name}:${file.size}:${file.lastModified}`;

/** Keeps `changes` of {id, params, key} with the file. `id`: the upload's, or null before it has begun. */
export function remember(file, changes) {
  const name = nameOf(file);
  const { name: title, size, lastModified } = file;
  const record = { id: null, ...read(name), ...changes, name: title, size, lastModified, at: Date.now() };
  quietly(() => localStorage.setItem(name, JSON.stringify(record)));
}

export function forget(file) {
  quietly(() => localStorage.removeItem(nameOf(file)));
}

/** {name, size, lastModified, id, params, key}, or null. */
export const remembered = (file) => read(nameOf(file));

/** All of them, oldest first; those of long ago are forgotten. */
export function unfinished() {
  const names = quietly(() => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX))) ?? [];
  const records = names.map((name) => [name, read(name)]);
  for (const [name, record] of records) if (!record) quietly(() => localStorage.removeItem(name));
  return records.map(([, record]) => record).filter(Boolean).sort((one, other) => one.at - other.at);
}

/** Null where it is none of ours, or too old. Anything may stand there: older versions of this page wrote less. */
function read(name) {
  const found = quietly(() => JSON.parse(localStorage.getItem(name)));
  const isRecord = found && typeof found.name === "string" && Number.isFinite(found.size) && Number.isFinite(found.lastModified);
  return isRecord && found.key && found.params && Date.now() - found.at < KEPT_MS ? found : null;
}

/** Storage may be full, or closed to this page: then a reload begins anew. */
function quietly(act) {
  try {
    return act();
  } catch {
    return null;
  }
}
