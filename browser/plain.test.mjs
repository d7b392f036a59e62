// A project's life without JavaScript: every page can be read and every form sent.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually, World } from "./world.mjs";

const SCRIPT = `#!/bin/bash
code=$(cat code)
[[ $code != wait ]] || sleep 600
cat > $KOZMIC_REPORTS/junit.xml <<END
<testsuite name="orbit"><testcase classname="moon" name="goes round" time="0.1">$([[ $code = 0 ]] || echo '<failure message="it stood still"/>')</testcase></testsuite>
END
echo kept > $KOZMIC_ARTIFACTS/notes.txt
for n in $(seq 1200); do echo "step $n"; done
[[ -z "\${GREETING-}" ]] || echo "hello $GREETING"
exit $code
`;

/** @type {World} */
let world;
before(async () => {
  world = await World.start(undefined, { KOZMIC_CONCURRENCY: "2" });
});
after(() => world?.end());

/** @typedef {import("playwright-core").Page} Page */

/**
 * Looks again until it is so: nothing tells a page without scripts.
 * @param {Page} page
 * @param {string} what
 * @param {() => Promise<unknown>} is
 */
async function reloadUntil(page, what, is) {
  await eventually(what, async () => Boolean(await is()) || (await page.reload(), false));
}

/**
 * A project's first tab, which is called Build on the page of one.
 * @param {Page} page
 */
const toLatest = (page) => page.getByRole("navigation", { name: "Project" }).getByRole("link", { name: /uild$/ }).click();

/** @type {(page: Page, word: string) => import("playwright-core").Locator} */
const mark = (page, word) => page.locator('[data-live="build"] h2 .mark').filter({ hasText: word });

test("a project's life, from the sign-in to its deletion", async () => {
  const page = await world.page({ storageState: undefined, javaScriptEnabled: false });
  await page.goto(world.url);
  await page.getByRole("link", { name: "Sign in with GitHub" }).click();
  await page.getByRole("button", { name: "Authorize as octo" }).click();
  await page.getByRole("link", { name: "Turn on a repository" }).click();
  await page.getByRole("button", { name: "Synchronize with GitHub" }).click();
  await page.getByRole("button", { name: "Turn on octo/orbit" }).click();

  // A hook: first with a mistake, then without.
  await page.getByLabel("Title").fill("Tests");
  await page.getByLabel("Docker image").fill("No Image");
  await page.getByLabel("Build script").fill(SCRIPT);
  await page.getByRole("button", { name: "Add the hook" }).click();
  await page.getByRole("alert").filter({ hasText: "Nothing was saved" }).waitFor();
  assert.equal(await page.getByLabel("Build script").inputValue(), SCRIPT);
  await page.getByLabel("Docker image").fill("kozmic/debian:bookworm");
  await page.getByRole("button", { name: "Add the hook" }).click();
  await page.locator('a[href$="/edit/"]', { hasText: "Tests" }).click();
  await page.getByLabel("Title").fill("Moon");
  await page.getByRole("button", { name: "Save the hook" }).click();
  await page.locator('a[href$="/edit/"]', { hasText: "Moon" }).waitFor();

  // Secrets and options.
  await page.getByRole("link", { name: "Settings" }).click();
  const secrets = page.getByRole("region", { name: "Secrets" });
  await secrets.getByLabel("Name").fill("DEPLOY_TOKEN");
  await secrets.getByLabel("Value").fill("correct horse battery staple");
  await secrets.getByRole("button", { name: "Save the secret" }).click();
  await secrets.getByText("DEPLOY_TOKEN").first().waitFor();
  await secrets.getByRole("button", { name: "Remove DEPLOY_TOKEN" }).click();
  assert.equal(await page.getByRole("button", { name: "Remove DEPLOY_TOKEN" }).count(), 0);
  await page.getByLabel("A newer push to a branch cancels").check();
  await page.getByRole("button", { name: "Save the options" }).click();
  await page.getByRole("status").filter({ hasText: "Saved." }).waitFor();
  await page.getByRole("button", { name: "Restore webhooks" }).click();
  await page.getByText("The webhook of `Moon` is as it must be.").waitFor();

  // A build that fails, and its log by pages.
  await world.push("code", "1", "Stand still");
  await toLatest(page);
  await reloadUntil(page, "the first build's end", () => mark(page, "failure").count());
  await page.locator("strong").getByText("1 of 1 test failed").waitFor();
  await page.getByText("it stood still").waitFor();
  await page.getByText("1 artifact").click();
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "All as a tar" }).click();
  await (await download).path();
  const log = page.getByRole("navigation", { name: "Pages of the log" });
  await log.getByRole("link", { name: "Last" }).click();
  await page.getByText("step 1200", { exact: true }).waitFor();
  await log.getByRole("link", { name: "First" }).click();
  await page.getByText("step 500", { exact: true }).waitFor();
  assert.equal(await page.locator("#log .l").count(), 500);
  await log.getByRole("link", { name: "Later" }).click();
  await page.getByText("step 501", { exact: true }).waitFor();
  await log.getByLabel("Line").fill("1100");
  await log.getByRole("button", { name: "Go" }).click();
  await page.getByText("step 1100", { exact: true }).waitFor();
  await page.getByRole("link", { name: "All tests" }).click();
  await page.getByRole("link", { name: "goes round" }).click();
  await page.getByText("One result is shown").waitFor();

  // One that is cancelled, and run again.
  await world.push("code", "wait", "Wait for the window");
  await toLatest(page);
  await reloadUntil(page, "the second build's start", () => mark(page, "pending").count());
  await page.getByRole("button", { name: "Cancel the build" }).click();
  await reloadUntil(page, "the second build's end", () => mark(page, "cancelled").count());
  await world.push("code", "0", "Go round");
  await toLatest(page);
  await reloadUntil(page, "the third build's end", () => mark(page, "success").count());
  await page.getByRole("button", { name: "Run all again" }).click();
  await reloadUntil(page, "its end again", async () =>
    (await page.getByText("Earlier").count()) && (await mark(page, "success").count()));

  // By hand.
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("link", { name: "Start a build" }).click();
  await page.getByLabel("Variables").fill("GREETING=moon");
  await page.getByRole("button", { name: "Start the build" }).click();
  await reloadUntil(page, "the started build's end", () => mark(page, "success").count());
  await log.getByRole("link", { name: "Last" }).click();
  await page.getByText("hello moon").waitFor();

  // A history of more than one page, of builds that wait for a worker nobody has.
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByRole("link", { name: "Add a hook" }).click();
  await page.getByLabel("Title").fill("Render");
  await page.getByLabel("Docker image").fill("kozmic/debian:bookworm");
  await page.getByLabel("Build script").fill("true");
  await page.getByLabel("Options").fill("label = gpu\nevent = manual");
  await page.getByRole("button", { name: "Add the hook" }).click();
  world.token = await world.kozmic("token", "create", "--user", "octo");
  for (let n = 0; n < 50; n++) await world.api("/projects/1/builds", "POST", JSON.stringify({ hooks: ["Render"] }));
  await page.getByRole("link", { name: "History" }).click();
  const subjects = () => page.locator(".builds .subject").allTextContents();
  assert.equal((await subjects()).length, 50);
  const pages = page.getByRole("navigation", { name: "Pages" });
  await pages.getByRole("link", { name: "Older" }).click();
  assert.deepEqual((await subjects()).slice(-3), ["Go round", "Wait for the window", "Stand still"]);
  await pages.getByRole("link", { name: "Newer" }).click();
  assert.equal((await subjects()).length, 50);
  await page.getByLabel("Words of a build").fill("still");
  await page.getByLabel("Status").selectOption("failure");
  await page.getByRole("button", { name: "Filter" }).click();
  assert.deepEqual(await subjects(), ["Stand still"]);

  // The account.
  await page.locator("a.who").click();
  await page.getByLabel("Name, to know it again").fill("laptop");
  await page.getByRole("button", { name: "Make a token" }).click();
  assert.match((await page.locator("pre.token").textContent()) ?? "", /^kozmic_[0-9a-f]+$/);
  await page.getByRole("button", { name: "Revoke laptop" }).click();
  await page.getByText("The token is revoked.").waitFor();

  // Its end, and the way out.
  await page.goto(`${world.url}/projects/1/settings/`);
  await page.getByLabel("Type octo/orbit to confirm").fill("octo/orbit");
  await page.getByRole("button", { name: "Delete the project" }).click();
  await page.getByRole("heading", { name: "No project yet" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  // Its scripts are what Chromium refuses then.
  assert.deepEqual(page.problems.filter((problem) => !/status of 422|\.js: csp$/.test(problem)), []);
});
