// What Linux tells of a process (proc(5)).

import { readFile } from "node:fs/promises";

/** The kernel counts time on processors in hundredths of a second, whatever its own clock has. */
const TICK = 10;

/**
 * Memory in bytes that a process takes: pages that it shares with others by halves, thirds, …
 * @param {number} pid
 */
export async function pss(pid) {
  return (await field(`/proc/${pid}/smaps_rollup`, "Pss")) * 1024;
}

/**
 * Memory of a process and of all its children, and theirs.
 * @param {number} pid
 * @returns {Promise<number>}
 */
export async function pssOfAll(pid) {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).split(" ").filter(Boolean);
  const each = await Promise.all([pss(pid), ...children.map((child) => pssOfAll(Number(child)))]);
  return each.reduce((sum, one) => sum + one, 0);
}

/**
 * What of it is the process's own: no file has it.
 * @param {number} pid
 */
export async function anonymous(pid) {
  return (await field(`/proc/${pid}/smaps_rollup`, "Pss_Anon")) * 1024;
}

/**
 * Milliseconds on a processor since it began.
 * @param {number} pid
 */
export async function worked(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

/**
 * @param {string} path
 * @param {string} name
 */
async function field(path, name) {
  const line = (await readFile(path, "utf8")).split("\n").find((line) => line.startsWith(`${name}:`));
  if (!line) throw new Error(`${path} has no ${name}`);
  return Number(line.replace(/\D/g, ""));
}
