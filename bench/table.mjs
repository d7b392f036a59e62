// Makes one table of all that benches have measured: `node bench/table.mjs FOLDER PAGE`. FOLDER
// is that of BENCH_FIGURES; PAGE is written (docs/benchmarks.md), and the table printed.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import { rounded } from "./figures.mjs";
import { isKept, ratio, read } from "./read.mjs";

/**
 * In the table's order: the bench, its title, and how it measures.
 * @type {[string, string, string][]}
 */
const SECTIONS = [
  ["first_line", "A push to its job", "20 times in turn with a bare `docker run --rm` of the same script. The server is told by a signed webhook; the commit is fetched, checked out and copied into the container."],
  ["run", "`kozmic run`", "20 times in turn with a bare `docker run --rm` of the same script."],
  ["upload", "The checkout", "In turn with `docker cp` of the same tree into a container of the same image."],
  ["log_throughput", "Much output", "A script that writes 101 MB as fast as it can, beside `docker run` of the same with a log driver that keeps all of it; every byte is compared. Then twenty steady jobs, each with a viewer."],
  ["viewers", "Viewers of a live log", "Web sockets, and one browser among the thousand; no viewer may miss a line or see one twice."],
  ["log_open", "A long log", "101 MB with colours, on a disk, opened as by a server that has just been started."],
  ["viewer", "A long log in a browser", "1,000,000 lines, in Chromium."],
  ["pages", "Pages", "50 readers who open a page of any kind each second."],
  ["queue", "The queue", "Jobs that do nothing, each claimed and ended by itself, each once."],
  ["webhooks", "Webhooks", "Each is answered after its build, its job and the statuses to report are committed and synced."],
  ["at_rest", "At rest", "One process with web, worker and SQLite, an engine beside it, nobody who asks. Memory is PSS, with what is mapped of the program's file; what of it nobody has used for a minute is not."],
  ["memory_growth", "Memory after many jobs", "Each job in a container of its own; memory two minutes after the last one, when all that jobs leave was given back."],
  ["capacity", "Forecast and fact", "Jobs that sleep, on one worker; what is beside a figure is the forecast of `bench/model.mjs`, which knows only what one job took. See `bench/capacity.md`."],
];
/** What a limit is of, as people read it. */
const OF = { median: "", p99: "p99 ", ratio: "ratio " };

const [folder = "", page = ""] = process.argv.slice(2);
if (!folder || !page) throw new Error("usage: node bench/table.mjs FOLDER PAGE");
const all = await read(folder);

/**
 * The first line that a program says, or nothing where it is not there.
 * @param {string} program
 * @param {string[]} args
 */
function says(program, ...args) {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim().split("\n")[0] ?? "";
  } catch {
    return "";
  }
}

function machine() {
  const distribution = /PRETTY_NAME="(.*)"/.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  const postgres = says("sh", "-c", "ls /usr/lib/postgresql/*/bin/postgres | tail -1");
  return [
    ["machine", `${cpus().length} × ${cpus()[0]?.model.trim()}, ${gibibytes} GiB of memory`],
    ["system", `${distribution}, Linux ${release()}`],
    ["disk", says("sh", "-c", "findmnt --noheadings --output FSTYPE --target .")],
    ["table made at", `${says("git", "describe", "--always", "--dirty")}, ${says("rustc", "--version")}`],
    ["Docker", says("docker", "version", "--format", "Engine {{.Server.Version}} (API {{.Server.APIVersion}})")],
    ["PostgreSQL", says(postgres, "--version")],
    ["git, Node.js", `${says("git", "--version")}, ${process.version}`],
    ["Chromium", says(process.env.CHROMIUM ?? "chromium", "--version")],
  ].filter(([, text]) => text);
}

/** @param {import("./figures.mjs").Spread} spread @param {string} unit */
function range({ least, greatest, p99 }, unit) {
  if (least === undefined || greatest === undefined) return "";
  const most = p99 !== undefined && unit === "ms" ? `, p99 ${rounded(p99)}` : "";
  return `${rounded(least)} – ${rounded(greatest)}${most}`;
}

/** @param {import("./figures.mjs").Figure} figure */
function row(figure) {
  const { what, unit, kozmic, beside, limit } = figure;
  const besides = beside ? [[beside.what, beside.median]] : [];
  for (const peer of all.peers) {
    if (peer.of === figure.bench && peer.what === what) besides.push([peer.peer, peer.figure.median]);
  }
  const others = besides.map(([name, median]) => `${name}: ${rounded(Number(median))}`).join("<br>");
  const ratios = besides.map(([, median]) => rounded(kozmic.median / Number(median))).join("<br>");
  const kept = { true: "", false: " **missed**", undefined: "" }[String(isKept(figure))];
  const most = limit ? `${OF[limit.of]}≤ ${limit.at_most}${kept}` : "";
  const name = unit ? `${what}, ${unit}` : what;
  // One that is over its limit by little is not written as if it were the limit.
  const isClose = isKept(figure) === false && rounded(kozmic.median) === rounded(limit?.at_most ?? NaN);
  const median = isClose ? kozmic.median.toPrecision(5) : rounded(kozmic.median);
  return `| ${name} | ${median} | ${range(kozmic, unit)} | ${others} | ${ratios} | ${most} |`;
}

/** @param {Date} date */
const minute = (date) => `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;

const lines = [
  "# Benchmarks",
  "",
  "`make bench` measures all of this on your machine, prints it, and writes this page anew. It",
  "fails where something is wrong, such as a lost line; a limit that is missed is said here.",
  "Milliseconds of another machine, or another hour, are others: compare the ratios. Commands of",
  "Docker's are measured in turn with Kozmic; other programs, with their versions, by themselves.",
  "",
  "A figure is the median of its runs. A ratio is Kozmic's figure to the one beside it: of times",
  "and memory a smaller one is better, of rates (`/s`) a greater one.",
  "",
  "| | |",
  "| --- | --- |",
  ...machine().map(([name, text]) => `| ${name} | ${text} |`),
];
const missing = [];
for (const [bench, title, how] of SECTIONS) {
  const figures = all.figures.filter((figure) => figure.bench === bench);
  if (!figures.length) {
    missing.push(title);
    continue;
  }
  const loads = figures.map(({ load }) => load ?? 0);
  const load = `${rounded(Math.min(...loads))} to ${rounded(Math.max(...loads))}`;
  const when = minute(all.measured.get(bench) ?? new Date());
  lines.push("", `## ${title}`, "", how, `Measured ${when}; load average ${load}, its own included.`);
  for (const settings of new Set(figures.map((figure) => figure.settings))) {
    if (settings) lines.push("", `${settings}.`);
    lines.push(
      "", "| what | Kozmic | least – greatest | beside | ratio | limit |",
      "| --- | --- | --- | --- | --- | --- |",
      ...figures.filter((figure) => figure.settings === settings).map(row),
    );
  }
}
if (missing.length) lines.push("", "## Not measured this time", "", `${missing.join(", ")}.`);
await writeFile(page, `${lines.join("\n")}\n`);
console.log(lines.join("\n"));
const missed = all.figures.filter((figure) => isKept(figure) === false);
for (const figure of missed) {
  const value = figure.limit?.of === "ratio" ? ratio(figure) : figure.kozmic[figure.limit?.of ?? "median"];
  const unit = figure.limit?.of === "ratio" ? "times what is beside it" : figure.unit;
  console.log(`missed: ${figure.what}: ${(value ?? NaN).toPrecision(5)} ${unit}, at most ${figure.limit?.at_most}`);
}
