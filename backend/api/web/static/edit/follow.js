// Who is followed, as the job's parameters have it: "main", "all" or "track:1,track:4", for the film or a single shot.

const MOST = 50;

/** The ids that a mode names; null for those that name nobody. */
export function named(mode) {
  return mode.startsWith("track:") ? mode.split(",").map((each) => Number(each.slice("track:".length))) : null;
}

/** The mode that follows these people; the main person where there are none. */
export function modeOf(ids) {
  return ids.length ? [...new Set(ids)].slice(0, MOST).map((id) => `track:${id}`).join(",") : "main";
}

/** The mode that holds in this shot. */
export function modeIn(params, shot) {
  return params.shots?.[shot] ?? params.subject;
}

/** The parameters to change for `mode` to hold, in the whole film or in this shot alone. */
export function followed(params, mode, shot = null) {
  const shots = { ...params.shots };
  if (shot === null) return { subject: mode };
  if (mode === params.subject) delete shots[shot];
  else shots[shot] = mode;
  return { shots };
}

/** `id` added to those who are followed, or taken out. `now`: the mode; `found`: whom that mode follows. */
export function toggled(now, found, id) {
  const ids = named(now) ?? found;
  return modeOf(ids.includes(id) ? ids.filter((each) => each !== id) : [...ids, id]);
}
