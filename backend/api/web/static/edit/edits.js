// What is being changed: a job's parameters as edited. Every step can be undone and done again.

const MERGE_MS = 1000; // steps of the same sort, such as a key that is held, are one step when they follow each other

export class Edits {
  /** `own`: the job's own parameters. `changes`: what was changed already, such as before a reload. */
  constructor(own, changes = {}) {
    this.own = own;
    this.#now = { ...own, ...changes };
  }

  #now;
  #trial = null;
  #past = [];
  #future = [];
  #last = { sort: "", at: 0 };
  #listeners = new Set();

  /** The parameters as they stand, with what is being tried out. Never changed in place. */
  get params() {
    return this.#trial ? { ...this.#now, ...this.#trial } : this.#now;
  }

  /** The same without what is being tried out. */
  get settled() {
    return this.#now;
  }

  /** {name: value} that is being tried out; null while nothing is. */
  get trial() {
    return this.#trial;
  }

  /** {name: value} of what differs from the job's own. */
  get changes() {
    return differing(this.own, this.#now);
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  get isTrying() {
    return this.#trial !== null;
  }

  /** Shown, and no step yet: the middle of a drag. */
  tryOut(part) {
    this.#trial = part;
    this.#tell("trial");
  }

  /** Back to before the drag. */
  forget() {
    if (!this.#trial) return;
    this.#trial = null;
    this.#tell("step");
  }

  /** One step. With a `sort`, it is one with a step of that sort a moment before. */
  change(part, sort = "") {
    const next = { ...this.#now, ...part };
    this.#trial = null;
    if (!Object.keys(differing(this.#now, next)).length) return this.#tell("step");
    const now = Date.now();
    if (!(sort && sort === this.#last.sort && now - this.#last.at < MERGE_MS && this.#past.length)) this.#past.push(this.#now);
    this.#last = { sort, at: now };
    this.#future = [];
    this.#now = next;
    this.#tell("step");
  }

  undo() {
    this.#go(this.#past, this.#future);
  }

  redo() {
    this.#go(this.#future, this.#past);
  }

  /** Back to the job's own parameters, as a step. */
  discard() {
    this.change(this.own);
  }

  /** `tell("trial" | "step")` after each change. */
  onChange(tell) {
    this.#listeners.add(tell);
  }

  #go(from, to) {
    if (!from.length || this.#trial) return;
    to.push(this.#now);
    this.#now = from.pop();
    this.#last = { sort: "", at: 0 };
    this.#tell("step");
  }

  #tell(how) {
    for (const tell of this.#listeners) tell(how);
  }
}

/** {name: value} of `params` where it differs from `own`. */
export function differing(own, params) {
  return Object.fromEntries(Object.entries(params).filter(([name, value]) => canonical(value) !== canonical(own[name])));
}

/** The same for the same value, however its names are ordered. */
function canonical(value) {
  return JSON.stringify(value, (_, each) =>
    each && typeof each === "object" && !Array.isArray(each) ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1))) : each);
}
