// What a bench in JavaScript has measured: lines of JSON, as crates/kozmic/benches/figures writes
// them, in the folder that BENCH_FIGURES names. Without it nothing is written.

import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";

/**
 * The middle one of several, and how far they lie apart.
 * @typedef {{ least?: number, median: number, p99?: number, greatest?: number, runs?: number }} Spread
 *
 * What must be so of the median, the p99, or the ratio to what was measured beside it.
 * @typedef {{ of: "median" | "p99" | "ratio", at_most: number }} Limit
 *
 * One row of the table. `settings` is what the figure depends on, as what the database syncs.
 * @typedef {{ bench: string, what: string, unit: string, kozmic: Spread, beside?: Spread & { what: string },
 *   limit?: Limit, settings?: string, load?: number }} Figure
 *
 * What another program took for what a row tells of Kozmic.
 * @typedef {{ peer: string, of: string, what: string, unit: string, figure: Spread }} Peer
 */

/** Benches of this process that have written: what their files had before was an older run's. */
const begun = new Set();

/**
 * @param {string} bench
 * @param {Figure | Peer} row
 */
async function write(bench, row) {
  const folder = process.env.BENCH_FIGURES;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  const keep = begun.has(bench) ? appendFile : writeFile;
  begun.add(bench);
  await keep(join(folder, `${bench}.jsonl`), `${JSON.stringify({ ...row, load: loadavg()[0] })}\n`);
}

/** @param {Figure} figure */
export function figure(figure) {
  console.log(`${figure.what}: ${inWords(figure.kozmic, figure.unit)}${figure.limit ? ` (${figure.limit.of} at most ${figure.limit.at_most})` : ""}`);
  return write(figure.bench, figure);
}

/**
 * @param {string} bench the file's name
 * @param {Peer} row
 */
export function peer(bench, row) {
  console.log(`${row.peer}, ${row.what}: ${inWords(row.figure, row.unit)}`);
  return write(bench, row);
}

/**
 * @param {number[]} numbers
 * @returns {Spread}
 */
export function spread(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  /** @param {number} percent */
  const at = (percent) => sorted[Math.floor(((sorted.length - 1) * percent) / 100)] ?? NaN;
  return { least: at(0), median: sorted[sorted.length >> 1] ?? NaN, p99: at(99), greatest: at(100), runs: sorted.length };
}

/** @param {number} number */
export function rounded(number) {
  if (Math.abs(number) >= 100) return Math.round(number).toLocaleString("en");
  return String(Number(number.toPrecision(3)));
}

/**
 * @param {Spread} spread
 * @param {string} unit
 */
function inWords({ least, median, greatest }, unit) {
  const range = least === undefined || greatest === undefined ? "" : `, ${rounded(least)} to ${rounded(greatest)}`;
  return `${rounded(median)} ${unit}${range}`;
}
