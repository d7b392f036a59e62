// The forecast of model.mjs beside what is so, at a small scale: jobs that sleep, one at a time, and
// then several at once, as forecast by what one took. How many calls of GitHub's API they cost.
// `scripts/bench --capacity` runs it on a release.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { World } from "../browser/world.mjs";
import { newest } from "./builds.mjs";
import { figure } from "./figures.mjs";
import { calls, perSecond } from "./model.mjs";
import { worked } from "./proc.mjs";

const JOBS = 48;
const SLEEP = Number(process.env.CAPACITY_SLEEP ?? 2);
/** Half as long, half as long again and all between: in step, all would wait, and then all work. */
const SLEEPS = Array.from({ length: JOBS }, (_, number) => SLEEP * (0.5 + ((number * 19) % JOBS) / (JOBS - 1)));
const AT_ONCE = [2, 4, 8];
const bench = "capacity";

const variants = SLEEPS.map((seconds, number) => `# kozmic: variant = v${number}: SECONDS_ASLEEP=${seconds.toFixed(2)}`);
const hook = `#!/bin/sh
# kozmic: title = Sleep
# kozmic: image = kozmic/debian:bookworm
${variants.join("\n")}
sleep "$SECONDS_ASLEEP"
`;

/** Milliseconds that the machine's processors were busy since it was started. */
async function busy() {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] =
    ((await readFile("/proc/stat", "utf8")).split("\n")[0] ?? "").split(/ +/).map(Number);
  return (user + nice + system + irq + softirq) * 10;
}

const world = await World.start({ "sleep.sh": hook }, { KOZMIC_CONCURRENCY: "1" });
try {
  let number = 0;
  /** A build of all jobs: seconds it took, and those on processors, of the machine and of Kozmic. */
  const build = async () => {
    number += 1;
    const pid = world.server?.pid ?? 0;
    const [before, own] = [await busy(), await worked(pid)];
    await world.push("number", String(number));
    for (;;) {
      const build = await newest(world);
      if (build?.number === number && !["enqueued", "pending"].includes(build.status)) {
        assert.equal(build.status, "success");
        const { started_at: began, finished_at: ended } = build;
        const took = (Date.parse(ended) - Date.parse(began)) / 1000;
        return { took, busy: ((await busy()) - before) / 1000, own: ((await worked(pid)) - own) / 1000 };
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  // The first one makes the mirror.
  await build();
  await eventuallyAllSent();
  // What the machine does besides, a second.
  const others = await busy();
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  const besides = ((await busy()) - others) / 5_000;
  const before = (await requests()).length;
  const alone = await build();
  await eventuallyAllSent();
  const made = (await requests()).slice(before);
  const measured = {
    overhead: alone.took / JOBS - SLEEP,
    processor: Math.max(alone.busy - besides * alone.took, alone.own) / JOBS,
  };
  /** @param {string} what @param {number} seconds */
  const milliseconds = (what, seconds) => figure({ bench, what, unit: "ms", kozmic: { median: seconds * 1000 } });
  await milliseconds("a job beside its script, one after the other", measured.overhead);
  await milliseconds("a job on processors, engine included", measured.processor);
  await milliseconds("a job on processors, Kozmic's own process", alone.own / JOBS);
  for (const concurrency of AT_ONCE) {
    world.environment.KOZMIC_CONCURRENCY = String(concurrency);
    await world.restart();
    const { took } = await build();
    const expected = JOBS / perSecond({ script: SLEEP, busy: 0, concurrency, cores: cpus().length }, measured);
    await figure({
      bench, what: `${JOBS} jobs that sleep ${SLEEP} s each in the mean, ${concurrency} at once`, unit: "s", kozmic: { median: took },
      beside: { what: "forecast", median: expected },
    });
  }
  const counted = made.filter(({ status }) => status !== 304).length;
  await figure({
    bench, what: `calls of GitHub's API that count, for a build of ${JOBS} jobs`, unit: "", kozmic: { median: counted },
    beside: { what: "forecast", median: calls(JOBS) },
  });
  await figure({
    bench, what: "calls that GitHub answers with 304, which are free", unit: "",
    kozmic: { median: made.length - counted },
  });
} finally {
  await world.end();
}

/** What of its API the stand-in for GitHub was asked. */
async function requests() {
  /** @type {{ path: string, status: number }[]} */
  const all = await (await fetch(`${world.githubUrl}/_sim/requests`)).json();
  return all.filter(({ path }) => path.startsWith("/api/v3/"));
}

/** Statuses are sent one after the other: until none came for two seconds. */
async function eventuallyAllSent() {
  for (let last = -1; ; await new Promise((resolve) => setTimeout(resolve, 2_000))) {
    const now = (await requests()).length;
    if (now === last) return;
    last = now;
  }
}
