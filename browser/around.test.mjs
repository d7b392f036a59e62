// What is around a job: order, variants, services, what is kept, and builds that somebody or
// the clock asked for.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isGood } from "./looks.mjs";
import { eventually, World } from "./world.mjs";

const IMAGE = "kozmic/debian:bookworm";
const HOOKS = {
  "tests.sh": `#!/bin/sh
# kozmic: title = Tests
# kozmic: image = ${IMAGE}
# kozmic: variant = old: RELEASE=11
# kozmic: variant = new: RELEASE=12
echo on $RELEASE
exit $(cat code)
`,
  "deploy.sh": `#!/bin/sh
# kozmic: title = Deploy
# kozmic: image = ${IMAGE}
# kozmic: after = Tests
echo deployed
`,
  "nightly.sh": `#!/bin/sh
# kozmic: title = Nightly
# kozmic: image = ${IMAGE}
# kozmic: event = manual
# kozmic: cron = 0 3 * * * Europe/Berlin
# kozmic: cache-folder = things: /home/kozmic/things
echo "$GREETING" > /home/kozmic/things/said
cat /home/kozmic/things/said
`,
  // A service that ends at once: its image runs nothing that stays.
  "beside.sh": `#!/bin/sh
# kozmic: title = Beside
# kozmic: image = ${IMAGE}
# kozmic: event = manual
# kozmic: service = friend: ${IMAGE}
echo never
`,
};

/** @type {World} */
let world;
/** @type {import("./world.mjs").Seen} */
let page;
before(async () => {
  world = await World.start(HOOKS, { KOZMIC_KEEP_FAILED: "3600" });
  page = await world.page();
});
after(() => world?.end());

/** @param {string} code what the tests return */
async function built(code) {
  const sha = await world.push("code", code, `End with ${code}`);
  await eventually("the build's end", async () => (await world.finished()).sha === sha);
  await page.goto(`${world.url}/projects/1/builds/latest/`);
}

test("variants and those that wait are jobs of a build, and say what for", async () => {
  await built("3");
  const jobs = page.getByRole("navigation", { name: "Jobs" });
  assert.equal(await jobs.getByRole("link").count(), 3);
  await jobs.getByRole("link", { name: "Deploy" }).click();
  await page.locator("dl.facts").getByText(/Tests/).waitFor();
  await isGood(page, "not-deployed");
  await jobs.getByRole("link", { name: "Tests (old)" }).click();
  // Its container is kept, and the page says how it is opened.
  await page.getByText(/kozmic shell \d+/).first().waitFor();
  await page.getByText(/kozmic pull \d+/).first().waitFor();
  await isGood(page, "kept");
  await built("0");
  await jobs.getByRole("link", { name: "Deploy" }).click();
  await page.locator("#L1").getByText("deployed").waitFor();
  assert.deepEqual(page.problems, []);
});

test("a build is started by hand, with variables", async () => {
  await page.goto(`${world.url}/projects/1/history/`);
  await page.getByRole("link", { name: "Start a build" }).click();
  await isGood(page, "start");
  await page.getByLabel("Branch, tag or commit").fill("nowhere");
  await page.getByLabel("Nightly").check();
  await page.getByLabel("Variables").fill("GREETING=hello there");
  await page.getByRole("button", { name: "Start the build" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Variables").inputValue(), "GREETING=hello there");
  await isGood(page, "not-started");
  await page.getByLabel("Branch, tag or commit").fill("main");
  await page.getByRole("button", { name: "Start the build" }).click();
  await page.locator('[data-live="build"] h2 .mark').filter({ hasText: "success" }).waitFor();
  await page.locator('[id^="L"] > span').getByText("hello there").first().waitFor();
  await isGood(page, "started");
  assert.deepEqual(page.problems.filter((problem) => !problem.includes("422")), []);
});

test("a service that does not last is named", async () => {
  await page.goto(`${world.url}/projects/1/start/`);
  await page.getByLabel("Beside").check();
  await page.getByRole("button", { name: "Start the build" }).click();
  await page.locator("dl.facts").getByText(/service.*friend/).waitFor();
  await page.locator('[data-live="build"] h2 .mark').filter({ hasText: "failure" }).waitFor();
  await isGood(page, "service-ended");
});

test("settings tell when the clock runs a hook, and which folders stay", async () => {
  await page.goto(`${world.url}/projects/1/settings/`);
  await page.getByText("0 3 * * * Europe/Berlin").waitFor();
  await page.getByText("things").first().waitFor();
  await isGood(page, "settings-around");
});
