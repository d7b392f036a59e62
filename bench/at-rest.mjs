// What a server takes that has nothing to do: web, worker and SQLite in one process, an engine
// beside it, and nobody who asks. How soon after its start it is ready, and how large the program
// is. `scripts/bench --at-rest` runs it on a release. It fails on what is wrong, not on what is
// much.

import { spawn } from "node:child_process";
import { copyFile, mkdtemp, rm, stat } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { figure, spread } from "./figures.mjs";
import { anonymous, pss, worked } from "./proc.mjs";

const STARTS = 20;
/** What a start has left is over by then. */
const SETTLES = 10_000;
const SECONDS = Number(process.env.REST_SECONDS ?? 60);
const MIB = 1024 * 1024;
const bench = "at_rest";

/** @param {number} milliseconds */
const after = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const { KOZMIC_BIN = "" } = process.env;
const folder = await mkdtemp(join(tmpdir(), "kozmic-at-rest-"));
// A copy, so that no other process of the same program shares its memory.
const program = join(folder, "kozmic");
await copyFile(KOZMIC_BIN, program);
const port = 20_000 + Math.floor(Math.random() * 10_000);

/** @returns {Promise<boolean>} */
const isReady = () =>
  new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, path: "/readyz", agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.on("error", () => resolve(false));
  });

async function start() {
  const began = performance.now();
  const child = spawn(program, ["serve"], {
    cwd: folder,
    stdio: "ignore",
    env: {
      PATH: process.env.PATH,
      ...(process.env.DOCKER_HOST && { DOCKER_HOST: process.env.DOCKER_HOST }),
      KOZMIC_LISTEN: `127.0.0.1:${port}`,
      KOZMIC_DATA_DIR: join(folder, "data"),
    },
  });
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`kozmic serve ended with ${child.exitCode}`);
    await after(1);
  }
  return { child, took: performance.now() - began };
}

/** @param {import("node:child_process").ChildProcess} child */
async function stop(child) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

try {
  const { size } = await stat(program);
  await figure({ bench, what: "the program's size", unit: "MB", kozmic: { median: size / 1e6 }, limit: { of: "median", at_most: 40 } });

  const first = await start();
  await stop(first.child);
  await figure({ bench, what: "first start, which makes the database, to ready", unit: "ms", kozmic: { median: first.took } });
  const starts = [];
  for (let n = 0; n < STARTS; n++) {
    const { child, took } = await start();
    starts.push(took);
    await stop(child);
  }
  await figure({ bench, what: "start to ready", unit: "ms", kozmic: spread(starts), limit: { of: "median", at_most: 100 } });

  const { child } = await start();
  const pid = child.pid ?? 0;
  await after(SETTLES);
  const [before, memories] = [await worked(pid), [await pss(pid)]];
  for (let second = 0; second < SECONDS; second++) {
    await after(1000);
    memories.push(await pss(pid));
  }
  const busy = (await worked(pid)) - before;
  const own = await anonymous(pid);
  await stop(child);
  const memory = spread(memories.map((bytes) => bytes / MIB));
  await figure({ bench, what: "memory at rest (PSS)", unit: "MiB", kozmic: memory, limit: { of: "median", at_most: 20 } });
  await figure({ bench, what: "of it not the program's own file", unit: "MiB", kozmic: { median: own / MIB } });
  await figure({
    bench, what: `of one processor at rest, over ${SECONDS} s`, unit: "%",
    kozmic: { median: busy / SECONDS / 10 }, limit: { of: "median", at_most: 0.2 },
  });
} finally {
  await rm(folder, { recursive: true, force: true });
}
