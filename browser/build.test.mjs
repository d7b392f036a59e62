// The build page in a real browser: lines appear while the job runs, and the
// page shows the end, without a reload.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { eventually, jobOf, World } from "./world.mjs";

const SLOW = `#!/bin/bash
# kozmic: title = Tests
# kozmic: image = kozmic/debian:bookworm
printf '\\033[1mcompiling\\033[0m orbit\\n'
for n in $(seq 12); do
  printf '\\033[32mPASS\\033[0m test %s <b>%s</b>\\n' "$n" "$KOZMIC_BUILD_NUMBER"
  sleep 0.4
done
`;
const RED = `#!/bin/bash
# kozmic: title = Style
# kozmic: image = kozmic/debian:bookworm
printf '\\033[31msrc/orbit.c:12\\033[0m trailing space\\n'
exit 1
`;

/**
 * Screenshots are written where SCREENSHOTS says, for people to look at.
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
async function picture(page, name) {
  if (!process.env.SCREENSHOTS) return;
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
}

/** @type {World} */
let world;
before(async () => {
  world = await World.start({ "tests.sh": SLOW, "style.sh": RED });
});
after(() => world?.end());

test("lines appear while the job runs, and then its end, without a reload", async () => {
  const page = await world.page();
  await world.push("a", "a", "Add the moon's orbit");
  const build = await eventually("the build", () => world.latestBuild());
  const job = jobOf(build, "Tests");
  await page.goto(job.url);
  // What another load would take with it.
  await page.evaluate(() => Object.assign(window, { isFirst: true }));
  await page.locator("#log .l").nth(2).waitFor();
  const status = page.locator('[data-live="facts"] .mark');
  await assert.doesNotReject(status.filter({ hasText: "pending" }).waitFor(), "it runs while lines are seen");
  const seen = await page.locator("#log .l").count();
  await picture(page, "running");
  await page.locator("#log .l").nth(12).waitFor();
  assert.ok(seen < 13, `all ${seen} lines were there at once`);
  await status.filter({ hasText: "success" }).waitFor();
  await page.locator('[data-live="build"] .mark').filter({ hasText: "failure" }).waitFor();
  assert.match(await page.title(), /failure/);
  assert.ok(await page.evaluate(() => "isFirst" in window), "it is the page as it was loaded first");
  const last = page.locator("#L13 > span");
  assert.equal(await last.textContent(), "PASS test 12 <b>1</b>");
  assert.equal(await page.locator("#L13 .f2").textContent(), "PASS");
  assert.deepEqual(page.problems, []);
  await picture(page, "finished");
});

test("a line has an address, and its number is not copied", async () => {
  const build = await world.finished();
  const job = jobOf(build, "Tests");
  const page = await world.page();
  await page.goto(job.url);
  await page.locator("#L5 > a").click();
  await page.waitForURL("**/#L5");
  assert.equal(await page.locator("#L5.chosen").count(), 1);
  const copied = await page.evaluate(() => {
    getSelection()?.selectAllChildren(document.getElementById("log") ?? document.body);
    return String(getSelection());
  });
  assert.equal(copied.split("\n")[0], "compiling orbit");
  assert.deepEqual(page.problems, []);
});

test("tabs lead from job to job, and the red one is shown first", async () => {
  const build = await world.finished();
  const page = await world.page();
  await page.goto(build.url);
  assert.equal(await page.locator('.jobs [aria-current="page"] bdi').textContent(), "Style");
  assert.match((await page.locator("#log").textContent()) ?? "", /trailing space/);
  await page.getByRole("navigation", { name: "Jobs" }).getByRole("link", { name: "Tests" }).click();
  await page.locator("#L13").waitFor();
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("link", { name: "Add the moon's orbit" }).waitFor();
  await picture(page, "history");
  assert.deepEqual(page.problems, []);
});

test("a finished log can be read without scripts", async () => {
  const build = await world.finished();
  const page = await world.page({ javaScriptEnabled: false });
  await page.goto(jobOf(build, "Tests").url);
  assert.equal(await page.locator("#log .l").count(), 13);
});

test("in dark and on a phone nothing overflows", async () => {
  const build = await world.finished();
  const job = jobOf(build, "Tests");
  const looks = /** @type {const} */ ([
    ["dark", { colorScheme: "dark" }],
    ["phone", { viewport: { width: 390, height: 844 } }],
    ["phone-dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark" }],
  ]);
  for (const [name, options] of looks) {
    const page = await world.page(options);
    for (const [kind, url] of [
      ["build", job.url],
      ["history", `${world.url}/projects/1/history/`],
      ["account", `${world.url}/account/settings/`],
    ]) {
      await page.goto(url);
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert.equal(overflow, 0, `${kind} in ${name} is wider than its window`);
      await picture(page, `${kind}-${name}`);
    }
    assert.deepEqual(page.problems, []);
  }
});

test("who signs out is asked to sign in, and comes back to where they were", async () => {
  const build = await world.finished();
  const page = await world.page();
  // Of its own, so that the other tests stay signed in.
  await page.context().clearCookies();
  await page.goto(build.url);
  await page.getByRole("link", { name: "Sign in with GitHub" }).waitFor();
  await picture(page, "login");
  await page.getByRole("link", { name: "Sign in with GitHub" }).click();
  await page.getByRole("button", { name: "Authorize as octo" }).click();
  await page.locator("#log .l").first().waitFor();
  assert.equal(page.url().replace(/\/$/, ""), build.url.replace(/\/$/, ""));
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.goBack();
  await page.getByRole("link", { name: "Sign in with GitHub" }).waitFor();
  assert.deepEqual(page.problems, []);
});
