// The first page and a project's history in a real browser: they find what somebody looks for,
// stay as the server has it, and can be read and operated by everybody.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isGood } from "./looks.mjs";
import { eventually, World } from "./world.mjs";

const SCRIPT = `#!/bin/bash
# kozmic: title = Tests
# kozmic: image = kozmic/debian:bookworm
echo lifting off
[[ $(cat code) != wait ]] || sleep 600
exit $(cat code)
`;
/** What a page may take on its way here when it is looked at for the first time. */
const FIRST_VIEW = 100 * 1024;
const LONG = "a-repository-whose-name-goes-on-and-on-until-it-has-as-many-letters-as-a-name-may-have-at-github-100";
const MESSAGES = [
  ["0", "Round the moon"],
  ["1", "Burn <b>longer</b> & \"higher\"\n\nA body."],
  ["0", `אלף ${"wide".repeat(60)}`],
  ["2", "Come back"],
];

/** @type {World} */
let world;
before(async () => {
  world = await World.start({ "tests.sh": SCRIPT });
  await world.github("repo", "add", `octo/${LONG}`);
  await world.kozmic("project", "add", `octo/${LONG}`);
  for (const [code, message] of MESSAGES) {
    const sha = await world.push("code", code, message);
    await eventually(`the end of "${message}"`, async () => {
      const build = await world.finished();
      return build.sha === sha;
    });
  }
});
after(() => world?.end());

/** @param {import("playwright-core").Page} page */
const rows = (page) => page.locator(".builds .subject").allTextContents();

test("home has the projects, their last builds, and what is found", async () => {
  const page = await world.page();
  await page.goto(world.url);
  await page.getByRole("heading", { name: "Projects" }).waitFor();
  const orbit = page.locator(".overview li").filter({ hasText: "octo/orbit" });
  assert.match((await orbit.textContent()) ?? "", /✗ failure[^]*#4[^]*Come back[^]*octo on main/);
  const trend = orbit.getByRole("img");
  assert.equal(await trend.getAttribute("aria-label"), "The last builds: 2 success, 2 failure");
  assert.equal(await trend.locator("g").count(), MESSAGES.length);
  assert.match((await orbit.locator("time").getAttribute("datetime")) ?? "", /^\d{4}-\d\d-\d\dT[\d:]+Z$/);
  await isGood(page, "home");

  // The keyboard finds it.
  await page.keyboard.press("/");
  await page.keyboard.type("MOON");
  await page.getByRole("link", { name: "Round the moon" }).waitFor();
  assert.equal(new URL(page.url()).search, "?q=MOON");
  assert.equal(await page.locator(".overview li").count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "find");
  await isGood(page, "found");
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("whose-name");
  await page.locator(".overview li").filter({ hasText: LONG }).waitFor();
  assert.equal(await page.locator(".overview li").count(), 1);
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.press("Delete");
  await orbit.waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "octo/orbit");
  await page.keyboard.press("Enter");
  await page.getByText("4 builds, oldest on the left").waitFor();

  // From elsewhere, too.
  await page.goto(`${world.url}/account/settings/`);
  await page.keyboard.press("/");
  await page.getByRole("heading", { name: "Projects" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "find");
  assert.deepEqual(page.problems, []);
});

test("a history is filtered, and each of its pages can be told to others", async () => {
  const page = await world.page();
  await page.goto(`${world.url}/projects/1/history/`);
  assert.equal((await rows(page)).length, MESSAGES.length);
  assert.equal(await page.locator(".chart a").count(), MESSAGES.length);
  await isGood(page, "history");
  await page.keyboard.press("/");
  await page.keyboard.type("burn \"* high");
  await page.keyboard.press("Enter");
  await page.waitForURL(/text=burn/);
  assert.deepEqual(await rows(page), ['Burn <b>longer</b> & "higher"']);
  assert.equal(await page.getByLabel("Words of a build").inputValue(), 'burn "* high');
  await isGood(page, "filtered");
  await page.getByLabel("Status").selectOption("success");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByText("No build is like this.").waitFor();
  await isGood(page, "not-found");
  await page.getByRole("link", { name: "Clear" }).click();
  await page.getByLabel("Branch").fill("main");
  await page.getByLabel("Author").fill("octo");
  await page.getByLabel("Status").selectOption("failure");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.waitForURL(/status=failure/);
  assert.deepEqual(await rows(page), ["Come back", 'Burn <b>longer</b> & "higher"']);
  assert.deepEqual(page.problems, []);
});

test("one list of keys, on every page", async () => {
  const page = await world.page();
  for (const [path, about] of [["/", "find projects and builds"], ["/projects/1/builds/latest/", "search the log"]]) {
    await page.goto(world.url + path);
    await page.keyboard.press("?");
    const dialog = page.getByRole("dialog");
    await dialog.getByText(about).waitFor();
    assert.equal(await dialog.count(), 1);
    await isGood(page, path === "/" ? "keys" : "keys-of-a-log");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("dialog[open]").count(), 0);
  }
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("name")), "q", "the log's search");
  await page.keyboard.press("Escape");
  await page.locator("body").click({ position: { x: 2, y: 2 } });
  await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement?.blur());
  await page.keyboard.press("h");
  await page.getByRole("heading", { name: "Projects" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to the content");
});

test("without scripts everything can be read and found", async () => {
  const page = await world.page({ javaScriptEnabled: false });
  await page.goto(world.url);
  assert.match((await page.locator(".overview").textContent()) ?? "", /octo\/orbit/);
  await page.getByLabel("Find projects and builds").fill("moon");
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByRole("link", { name: "Round the moon" }).click();
  await page.getByRole("link", { name: "History" }).click();
  await page.getByLabel("Words of a build").fill("come");
  await page.getByRole("button", { name: "Filter" }).click();
  assert.deepEqual(await rows(page), ["Come back"]);
});

test("a first view takes few bytes", async () => {
  for (const path of ["/", "/projects/1/history/", "/projects/1/builds/1/", "/projects/1/settings/"]) {
    const page = await world.page();
    const cdp = await page.context().newCDPSession(page);
    await cdp.send("Network.enable");
    let bytes = 0;
    cdp.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
    await page.goto(world.url + path, { waitUntil: "networkidle" });
    assert.ok(bytes > 2000 && bytes <= FIRST_VIEW, `${path}: ${bytes} bytes`);
    if (process.env.SCREENSHOTS) console.log(`${path}: ${bytes} bytes`);
    await page.context().close();
  }
});

test("nothing is asked for while nothing changes", async () => {
  const still = ["/projects/1/tests/", "/projects/1/settings/", "/repositories/", "/account/settings/"];
  for (const path of ["/", "/projects/1/history/", "/projects/1/builds/1/", ...still]) {
    const page = await world.page();
    await page.clock.install();
    const opened = page.waitForEvent("websocket", (socket) => socket.url().includes("/live"));
    await page.goto(world.url + path, { waitUntil: "networkidle" });
    await opened;
    /** @type {string[]} */
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.clock.runFor(10 * 60 * 1000);
    assert.deepEqual(asked, [], path);
    if (!still.includes(path)) {
      assert.match((await page.locator("main time").first().textContent()) ?? "", /^1\d minutes ago$/, "ages go on");
    }
    await page.context().close();
  }
});

test("lists, title and icon follow what happens, without a reload", async () => {
  const [home, history, other] = [await world.page(), await world.page(), await world.page()];
  await home.goto(world.url);
  await history.goto(`${world.url}/projects/1/history/`);
  for (const page of [home, history]) await page.evaluate(() => (document.body.dataset.same = "yes"));
  // With the keyboard in the list.
  await history.keyboard.press("j");
  await history.keyboard.press("j");
  const chosen = await history.evaluate(() => document.activeElement?.textContent);
  await world.push("code", "wait", "Wait for the window");
  const now = home.getByRole("region", { name: "Now" });
  await now.getByText("● pending").waitFor();
  await now.getByText("running the build script").waitFor();
  await history.locator(".builds li.pending").filter({ hasText: "Wait for the window" }).waitFor();
  assert.equal(await history.evaluate(() => document.activeElement?.textContent), chosen);
  await isGood(home, "home-now");
  const url = await now.getByRole("link").getAttribute("href");
  await other.goto(world.url + url);
  const icon = () => other.locator("link[rel=icon]").getAttribute("href");
  assert.match(await other.title(), /^● #5 pending/);
  assert.match((await icon()) ?? "", /icons\/pending\.svg$/);
  await other.evaluate(() => (document.body.dataset.same = "yes"));

  const build = await eventually("the build", () => world.latestBuild());
  const headers = { authorization: `Bearer ${world.token}` };
  const answer = await fetch(`${world.url}/api/v1/builds/${build.id}/cancel`, { method: "POST", headers });
  assert.ok(answer.ok);
  await other.waitForFunction(() => document.title.startsWith("– #5 cancelled"));
  assert.match((await icon()) ?? "", /icons\/cancelled\.svg$/);
  await home.locator(".overview li.cancelled").filter({ hasText: "octo/orbit" }).waitFor();
  await now.waitFor({ state: "detached" });
  await history.locator(".builds li.cancelled").waitFor();
  await history.locator(".projects .mark.cancelled").waitFor();
  for (const page of [home, history, other]) {
    assert.equal(await page.evaluate(() => document.body.dataset.same), "yes", "it was not loaded again");
    assert.deepEqual(page.problems, []);
  }
});

test("what answers a form stays as the server has it, too", async () => {
  const page = await world.page();
  await page.goto(`${world.url}/projects/2/settings/`);
  await page.getByLabel(`Type octo/${LONG} to confirm`).fill("another");
  await page.getByRole("button", { name: "Delete the project" }).click();
  await page.getByRole("alert").waitFor();
  const orbit = page.locator(".projects li").filter({ hasText: "octo/orbit" });
  await orbit.locator(".mark.cancelled").waitFor();
  await world.push("code", "0", "Go on");
  await orbit.locator(".mark.success").waitFor();
  assert.deepEqual(page.problems, []);
});
