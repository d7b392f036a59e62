// Does a server's memory grow with the jobs it has carried out? MEMORY_JOBS small ones (1,000;
// `make soak`: 10,000), each in a container of its own: what it takes after MEMORY_FIRST of them
// (500), and at the end. `scripts/bench --memory-growth` runs it on a release. It fails where a
// job does.

import assert from "node:assert/strict";
import { World } from "../browser/world.mjs";
import { newest } from "./builds.mjs";
import { figure } from "./figures.mjs";
import { anonymous, pss } from "./proc.mjs";

/** As many jobs has a build: the hook's variants. */
const EACH = 50;
const JOBS = Number(process.env.MEMORY_JOBS ?? 1_000);
const FIRST = Number(process.env.MEMORY_FIRST ?? 500);
const MOST = 1.1;
const MIB = 1024 * 1024;
/** Until what jobs have left is given up and then given back to the system, each within a minute. */
const SETTLES = 125_000;

const variants = Array.from({ length: EACH }, (_, number) => `# kozmic: variant = v${number}: N=${number}`);
const hook = `#!/bin/sh
# kozmic: title = Small
# kozmic: image = kozmic/debian:bookworm
${variants.join("\n")}
echo "$N"
`;
const world = await World.start({ "small.sh": hook }, { KOZMIC_CONCURRENCY: process.env.MEMORY_CONCURRENCY ?? "4" });
try {
  const pid = world.server?.pid ?? 0;
  let done = 0;
  let took = 0;
  /** @param {number} until */
  const carryOut = async (until) => {
    const began = performance.now();
    while (done < until) {
      await world.push("count", String(done));
      for (let build; ; await new Promise((resolve) => setTimeout(resolve, 1_000))) {
        build = await newest(world);
        if (!build || build.number !== done / EACH + 1 || ["enqueued", "pending"].includes(build.status)) continue;
        assert.equal(build.status, "success", `build ${build.number}`);
        assert.equal(build.jobs.length, EACH);
        break;
      }
      done += EACH;
      if (done % 100 === 0) await tell();
    }
    took += performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, SETTLES));
    return tell();
  };
  const tell = async () => {
    const taken = { pss: (await pss(pid)) / MIB, own: (await anonymous(pid)) / MIB };
    console.log(`after ${done} jobs: ${taken.pss.toFixed(1)} MiB, ${taken.own.toFixed(1)} MiB of it not the program's file`);
    return taken;
  };
  const first = await carryOut(FIRST);
  const last = await carryOut(JOBS);
  const bench = "memory_growth";
  const per = JOBS / (took / 1000);
  /** @param {number} median */
  const figures = (median) => ({ bench, unit: "MiB", kozmic: { median } });
  await figure({
    ...figures(last.pss), what: `memory after ${JOBS} jobs (PSS)`,
    beside: { what: `after ${FIRST} jobs`, median: first.pss }, limit: { of: "ratio", at_most: MOST },
  });
  await figure({ ...figures(last.own), what: "of it not the program's own file", beside: { what: `after ${FIRST} jobs`, median: first.own } });
  await figure({ bench, what: "small jobs, each in a container", unit: "/s", kozmic: { median: per } });
} finally {
  await world.end();
}
