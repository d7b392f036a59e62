// What an installation can do in a day, and what a million builds a day need: see capacity.md.
//
//   node bench/capacity.mjs FOLDER [NAME=VALUE…]
//
// FOLDER has the figures (target/figures). NAME is one of the model's: workers, concurrency, cores,
// jobs, script, busy, deliveries, log, tokens, peak; or builds (a day), or database (PostgreSQL,
// SQLite). What was not measured yet may be given: overhead=0.4 processor=0.3 queue=600 webhooks=131
// rate=30.

import { rounded } from "./figures.mjs";
import { measuredIn, needed, parts, USUAL } from "./model.mjs";
import { read } from "./read.mjs";

const [folder = "target/figures", ...given] = process.argv.slice(2);
/** @type {Record<string, string>} */
const { database = "PostgreSQL", builds = "1000000", ...more } = Object.fromEntries(given.map((one) => one.split("=")));
const shape = { ...USUAL };
/** @type {Record<string, number>} */
const said = {};
for (const [name, text] of Object.entries(more)) {
  const value = Number(text);
  if (!(value >= 0)) throw new Error(`${name}=${text} is no number`);
  if (name in shape) Object.assign(shape, { [name]: value });
  else if (["overhead", "processor", "queue", "webhooks", "rate"].includes(name)) said[name === "rate" ? "log" : name] = value;
  else throw new Error(`"${name}" is nothing that the model knows`);
}
const isAllSaid = ["overhead", "processor", "queue", "webhooks", "log"].every((name) => name in said);
/** @type {import("./model.mjs").Measured} */
const measured = { ...(isAllSaid ? {} : measuredIn((await read(folder)).figures, database)), .../** @type {any} */ (said) };

console.log(`${shape.workers} workers with ${shape.concurrency} jobs at once and ${shape.cores} processors each; builds of ${shape.jobs} jobs,`);
console.log(`each ${shape.script} s long, ${shape.busy} s of it on a processor, with ${shape.log} MB of log; ${shape.tokens} tokens; ${database}\n`);
console.log(`${"part".padEnd(22)}${"builds a day".padStart(14)}${`with peaks × ${shape.peak}`.padStart(18)}   more of it`);
for (const { part, builds, more } of parts(shape, measured)) {
  console.log(`${part.padEnd(22)}${rounded(builds).padStart(14)}${rounded(builds / shape.peak).padStart(18)}   ${more}`);
}
const need = needed(Number(builds), shape, measured);
console.log(`\n${rounded(Number(builds))} builds a day are ${rounded(need.mean)} a second, ${rounded(need.peak)} in a peak. For that:`);
console.log(`  ${rounded(need.places)} jobs at once: ${rounded(need.workers)} such workers`);
console.log(`  ${rounded(need.claims)} claims and ends a second (measured: ${rounded(measured.queue)})`);
console.log(`  ${rounded(need.webhooks)} webhooks a second (measured: ${rounded(measured.webhooks)})`);
console.log(`  ${rounded(need.logs)} MB of log a second, through Redis and into the storage`);
console.log(`  ${rounded(need.tokens)} tokens of GitHub's, when a peak lasts an hour`);
