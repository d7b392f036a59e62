// Addresses of lines: `#L120`, and `#L120-L140` for some of them.

/** @typedef {[number, number]} Chosen the first and the last of some lines */

/**
 * The lines that the address names.
 * @returns {Chosen | undefined}
 */
export function chosenLines() {
  const named = /^#L(\d{1,15})(?:-L?(\d{1,15}))?$/.exec(location.hash);
  if (!named) return undefined;
  const [from, to] = [Number(named[1]), Number(named[2] ?? named[1])];
  return from < 1 || to < 1 ? undefined : [Math.min(from, to), Math.max(from, to)];
}

/**
 * Writes them into the address, which is that of the job then: a build may show another.
 * @param {string} path
 * @param {Chosen} [chosen]
 */
export function setChosenLines(path, chosen) {
  const [from, to] = chosen ?? [];
  const hash = from === undefined ? "" : from === to ? `#L${from}` : `#L${from}-L${to}`;
  history.replaceState(history.state, "", path + hash);
}
