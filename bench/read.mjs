// Reads what benches have written into a folder: rows of Kozmic's, with what peers took.

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

/**
 * @typedef {import("./figures.mjs").Figure} Figure
 * @typedef {import("./figures.mjs").Peer} Peer
 * @typedef {{ figures: Figure[], peers: Peer[], measured: Map<string, Date> }} Read
 */

/**
 * @param {string} folder
 * @returns {Promise<Read>}
 */
export async function read(folder) {
  /** @type {Read} */
  const all = { figures: [], peers: [], measured: new Map() };
  const names = (await readdir(folder)).filter((name) => name.endsWith(".jsonl")).sort();
  if (!names.length) throw new Error(`${folder} has no figures: make bench`);
  for (const name of names) {
    const path = join(folder, name);
    all.measured.set(name.replace(/\.jsonl$/, ""), (await stat(path)).mtime);
    for (const line of (await readFile(path, "utf8")).split("\n").filter(Boolean)) {
      const row = JSON.parse(line);
      if (row.peer) all.peers.push(row);
      else all.figures.push(row);
    }
  }
  return all;
}

/** How much of what was measured beside it a figure is. @param {Figure} figure */
export function ratio({ kozmic, beside }) {
  return beside && kozmic.median / beside.median;
}

/** Whether a figure is within its limit; undefined where it has none. @param {Figure} figure */
export function isKept(figure) {
  const { limit, kozmic } = figure;
  if (!limit) return undefined;
  const value = limit.of === "ratio" ? ratio(figure) : kozmic[limit.of];
  return value !== undefined && value <= limit.at_most;
}
