// Watching a build: what the page shows, says and tells while jobs begin and end, while the
// server is away, and in the reader's own time.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isGood } from "./looks.mjs";
import { eventually, jobOf, World } from "./world.mjs";

/** @param {string} title */
const gate = (title) => `#!/bin/bash
# kozmic: title = ${title}
# kozmic: image = kozmic/debian:bookworm
echo waiting at the gate
until [[ -s /tmp/code ]]; do sleep 0.1; done
echo through
exit $(cat /tmp/code)
`;
/** Its image is nowhere. */
const BROKEN = `#!/bin/bash
# kozmic: title = Broken
# kozmic: image = 127.0.0.1:1/none:none
# kozmic: event = manual
`;
/** A line, then 100 each time that it is let on. */
const STEPS = `#!/bin/bash
# kozmic: title = Steps
# kozmic: image = kozmic/debian:bookworm
# kozmic: event = manual
echo ready
for n in 1 2 3 4; do
  until [[ -e /tmp/step$n ]]; do sleep 0.1; done
  seq 100
done
`;

/** @type {World} */
let world;
before(async () => {
  const hooks = { "moon.sh": gate("Moon"), "mars.sh": gate("Mars"), "broken.sh": BROKEN, "steps.sh": STEPS };
  world = await World.start(hooks, { KOZMIC_CONCURRENCY: "2" });
});
after(() => world?.end());

/** @typedef {import("./world.mjs").Seen} Seen */

/**
 * Lets a job end with this code.
 * @param {string} title
 * @param {number} code
 * @param {import("./world.mjs").Build} build
 */
const end = (build, title, code) => world.inContainer(jobOf(build, title), "sh", "-c", `echo ${code} > /tmp/code`);

/**
 * The build of a new commit.
 * @param {string} message
 */
async function pushed(message) {
  const sha = await world.push("a", message, message);
  return eventually("the build", async () => {
    const build = await world.latestBuild();
    return build?.sha === sha && build;
  });
}

/**
 * Notes from now on, across all that the page does by itself, what it tells to who listens.
 * @param {Seen} page
 */
async function listen(page) {
  await page.evaluate(() => {
    document.body.dataset.same = "yes";
    /** @type {string[]} */
    const heard = [];
    Object.assign(globalThis, { heard });
    const region = document.getElementById("told");
    if (region) new MutationObserver(() => heard.push(region.textContent ?? "")).observe(region, { childList: true });
  });
}

/**
 * @param {Seen} page
 * @returns {Promise<string[]>}
 */
const heard = (page) => page.evaluate("heard");

/**
 * The page was not loaded again, and nothing went wrong in it.
 * @param {Seen} page
 */
async function isSame(page) {
  assert.equal(await page.evaluate(() => document.body.dataset.same), "yes", "it was not loaded again");
  assert.deepEqual(page.problems, []);
}

/**
 * Title and icon are those of this status.
 * @param {Seen} page
 * @param {string} title
 * @param {string} icon
 */
async function isShown(page, title, icon) {
  await page.waitForFunction((title) => document.title.startsWith(title), title);
  const href = await page.locator("link[rel=icon]").getAttribute("href");
  assert.match(href ?? "", new RegExp(`icons/${icon}\\.svg$`));
}

test("a build that is red already is watched, and can be cancelled, until its last job has ended", async () => {
  const build = await pushed("One");
  const page = await world.page();
  await page.goto(build.url);
  await listen(page);
  await isShown(page, "● #1 pending", "pending");
  await page.locator(".timeline").waitFor();
  assert.equal(await page.locator("[role=status], output, [aria-live=polite], [aria-live=assertive]").count(), 1);

  await end(build, "Moon", 1);
  await isShown(page, "✗ #1 failure, still running", "failure");
  assert.deepEqual(await heard(page), ["Job Moon has ended: failure."]);
  const cancel = page.getByRole("button", { name: "Cancel the build" });
  await cancel.waitFor();
  assert.equal(await page.getByRole("button", { name: "Run all again" }).count(), 0);
  await isGood(page, "red-and-running");

  const other = await world.page();
  await other.goto(build.url);
  await other.getByRole("button", { name: "Cancel the build" }).click();
  await page.getByRole("button", { name: "Run all again" }).waitFor();
  await isShown(page, "✗ #1 failure ·", "failure");
  assert.equal(await cancel.count(), 0);
  const [, last, ...more] = await heard(page);
  assert.equal(last, "Job Mars has ended: cancelled. Build 1 has ended: failure.");
  assert.deepEqual(more, [], "each end is told once, and no line of a log");
  await isSame(page);
});

test("who asked for it is told of the end, in a tab that nobody sees", async () => {
  const build = await pushed("Two");
  const page = await world.page({ permissions: ["notifications"] });
  await page.addInitScript(() => {
    /** @type {string[]} */
    const shown = [];
    const Real = globalThis.Notification;
    Object.assign(globalThis, {
      shown,
      Notification: class extends Real {
        /**
         * @param {string} title
         * @param {NotificationOptions} [options]
         */
        constructor(title, options) {
          super(title, options);
          shown.push(`${title}: ${options?.body}`);
        }
      },
    });
  });
  await page.goto(build.url);
  const notify = page.getByRole("button", { name: "Tell me when it ends" });
  assert.equal(await notify.getAttribute("aria-pressed"), "false");
  await notify.click();
  await page.getByText("You will be told when the build ends").first().waitFor();
  await page.reload();
  assert.equal(await notify.getAttribute("aria-pressed"), "true", "it is remembered");
  await listen(page);
  // As browsers tell a page that another tab is in front.
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await end(build, "Moon", 0);
  await page.locator("nav.jobs .mark.success").waitFor();
  assert.deepEqual(await page.evaluate("shown"), [], "a job's end is not the build's");
  await end(build, "Mars", 0);
  await isShown(page, "✓ #2 success", "success");
  await eventually("the notification", () => page.evaluate("shown.length"));
  assert.deepEqual(await page.evaluate("shown"), ["✓ #2 success · octo/orbit: Two"]);
  assert.equal(await notify.isVisible(), false, "there is nothing to wait for any more");
  await isSame(page);
  await page.reload();
  assert.deepEqual(await page.evaluate("shown"), [], "nobody is told twice");
});

test("who did not ask is not asked for anything, and a refusal is explained", async () => {
  const build = await pushed("Three");
  const page = await world.page();
  await page.addInitScript(() => {
    Notification.requestPermission = async () => {
      document.documentElement.dataset.asked = "yes";
      return "denied";
    };
  });
  await page.goto(build.url);
  const notify = page.getByRole("button", { name: "Tell me when it ends" });
  await notify.waitFor();
  assert.equal(await page.locator("[data-asked]").count(), 0);
  await notify.click();
  await page.getByText("The browser does not allow this page").first().waitFor();
  assert.equal(await notify.getAttribute("aria-pressed"), "false");
  assert.deepEqual(page.problems, []);
});

test("what waits is enqueued in title and icon, and what ends while the server is away is seen", async () => {
  const running = await eventually("the build", () => world.latestBuild());
  const waiting = await pushed("Four");
  const [page, next] = [await world.page(), await world.page()];
  await page.goto(running.url);
  await next.goto(waiting.url);
  await isShown(next, "○ #4 enqueued", "enqueued");
  await listen(page);
  await listen(next);
  const offline = page.getByText("Not connected; trying again");
  assert.equal(await offline.isVisible(), false);
  await end(running, "Moon", 0);
  await page.locator("nav.jobs .mark.success").waitFor();
  await world.restart(async () => {
    await offline.waitFor();
    await end(running, "Mars", 3);
  });
  await isShown(page, "✗ #3 failure ·", "failure");
  await offline.waitFor({ state: "hidden" });
  assert.deepEqual((await heard(page)).slice(1), ["Job Mars has ended: failure. Build 3 has ended: failure."]);
  await isShown(next, "● #4 pending", "pending");
  for (const one of [page, next]) {
    // That the server was away is no problem of the page's.
    one.problems = one.problems.filter((problem) => !/WebSocket|ERR_(CONNECTION|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)/.test(problem));
    await isSame(one);
  }
});

test("errors and what was cancelled have their titles and icons as well", async () => {
  const build = await eventually("the build", () => world.latestBuild());
  const page = await world.page();
  await page.goto(build.url);
  await page.getByRole("button", { name: "Cancel the build" }).click();
  await isShown(page, "– #4 cancelled", "cancelled");
  await page.goto(`${world.url}/projects/1/start/`);
  await page.getByLabel("Broken").check();
  await page.getByRole("button", { name: "Start the build" }).click();
  await isShown(page, "! #5 error", "error");
  assert.deepEqual(page.problems, []);
});

test("a log that is followed takes nobody away from where they go meanwhile", async () => {
  const page = await world.page();
  await page.goto(`${world.url}/projects/1/start/`);
  await page.getByLabel("Steps").check();
  await page.getByRole("button", { name: "Start the build" }).click();
  await page.locator("#L1:not(.missing)").waitFor();
  const follow = page.locator("button[aria-pressed=true]", { hasText: "Follow" });
  await follow.waitFor();
  const build = await eventually("the build", () => world.latestBuild());
  /** @param {number} n */
  const grow = async (n) => {
    await world.inContainer(jobOf(build, "Steps"), "touch", `/tmp/step${n}`);
    await page.waitForFunction((total) => Number(document.getElementById("viewer")?.dataset.total) >= total, 100 * n + 1);
  };

  // At the top, where what is above the log gets longer.
  const moved = await page.evaluate(async () => {
    const before = scrollY;
    document.querySelector("main")?.prepend(Object.assign(document.createElement("div"), { style: "height: 20rem" }));
    for (let frames = 0; frames < 3; frames++) await new Promise(requestAnimationFrame);
    return scrollY - before;
  });
  assert.equal(moved, 0);

  // By keyboard, above the log.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  const link = page.locator("a:focus-visible");
  await grow(1);
  assert.ok(await link.evaluate((it) => it.getBoundingClientRect().top >= 0), "where the keyboard is stays on the screen");
  await follow.waitFor();
  await page.getByLabel("Lines of the log").focus();
  await grow(2);
  await eventually("the last line on the screen", () =>
    page.evaluate(() => (document.getElementById("L201")?.getBoundingClientRect().bottom ?? Infinity) <= innerHeight + 1),
  );

  // By a wheel that turns in the same moment as the log grows.
  await page.evaluate(() => {
    const real = globalThis.scrollTo;
    globalThis.scrollTo = /** @param {any[]} where */ (...where) => {
      globalThis.scrollTo = real;
      real.apply(globalThis, /** @type {[number, number]} */ (where));
      queueMicrotask(() => scrollBy(0, -60));
    };
  });
  await grow(3);
  await page.locator("button[aria-pressed=false]", { hasText: "Follow" }).waitFor();
  await grow(4);
  assert.deepEqual(page.problems, []);
});

test("times are the reader's, and exact for machines", async () => {
  const page = await world.page({ timezoneId: "Asia/Tokyo", locale: "en-GB" });
  for (const path of ["/", "/projects/1/history/", "/projects/1/builds/1/", "/account/settings/"]) {
    await page.goto(world.url + path);
    const time = page.locator("main time[data-age]").first();
    const [exact, title] = [await time.getAttribute("datetime"), await time.getAttribute("title")];
    assert.match(exact ?? "", /^\d{4}-\d\d-\d\dT[\d:]+Z$/);
    const hour = new Date(Date.parse(exact ?? "") + 9 * 3600_000).getUTCHours();
    assert.match(title ?? "", new RegExp(`^\\d+ \\w+ \\d{4}.* ${String(hour).padStart(2, "0")}:\\d\\d:\\d\\d GMT\\+9$`));
    const later = await page.locator("time:not([data-age])").allTextContents();
    assert.deepEqual(later.filter((text) => /Z$/.test(text)), [], path);
  }
  await page.goto(`${world.url}/projects/1/history/`);
  assert.match((await page.locator(".chart title").first().textContent()) ?? "", /^#1 failure, .* GMT\+9$/);
  const bare = await world.page({ javaScriptEnabled: false });
  await bare.goto(world.url);
  assert.match((await bare.locator("main time").first().getAttribute("title")) ?? "", /Z$/);
  assert.deepEqual(page.problems, []);
});

test("the jobs of a build are beside one another on one clock", async () => {
  const page = await world.page();
  await page.goto(`${world.url}/projects/1/builds/2/`);
  const table = page.getByRole("table", { name: "Times of all jobs" });
  assert.deepEqual(await table.getByRole("rowheader").allTextContents(), ["✓ Mars", "✓ Moon"]);
  const bars = await table.locator("rect.build").evaluateAll((bars) => bars.map((bar) => bar.getBoundingClientRect().width));
  assert.equal(bars.length, 2);
  assert.ok(bars.every((width) => width > 1), `${bars}`);
  const phases = await page.getByRole("table", { name: "Times of attempt 1" }).getByRole("rowheader").allTextContents();
  assert.deepEqual(phases, ["waiting", "fetch", "image", "build", "collect"]);
  const branch = page.locator(".build").getByRole("link", { name: "main", exact: true });
  assert.equal(await branch.getAttribute("href"), `${world.githubUrl}/octo/orbit/tree/main`);
  await isGood(page, "timeline");
});

test("repositories are filtered as somebody types, and without scripts", async () => {
  await world.github("repo", "add", "octo/attic");
  await world.github("repo", "add", "octo/cellar");
  const page = await world.page();
  await page.goto(`${world.url}/repositories/`);
  await page.getByRole("button", { name: "Synchronize with GitHub" }).click();
  const names = () => page.locator(".offers li:visible .name").allTextContents();
  await eventually("the repositories", async () => (await names()).join() === "attic,cellar,orbit");
  const on = page.getByRole("link", { name: "octo/orbit is on already" });
  assert.equal(await on.getAttribute("href"), "/projects/1/");
  await listen(page);
  await page.keyboard.press("/");
  await page.keyboard.type("ATT");
  assert.deepEqual(await names(), ["attic"]);
  await eventually("the number", async () => (await heard(page)).includes("1 repository"));
  await page.keyboard.type("x");
  await page.getByText("No repository has this in its name").waitFor();
  await isGood(page, "repositories-none");
  await page.getByRole("searchbox").fill("");
  assert.equal((await names()).length, 3);
  await isGood(page, "repositories");
  await isSame(page);

  const bare = await world.page({ javaScriptEnabled: false });
  await bare.goto(`${world.url}/repositories/`);
  await bare.getByRole("searchbox").fill("cell");
  await bare.getByRole("button", { name: "Filter" }).click();
  assert.deepEqual(await bare.locator(".offers .name").allTextContents(), ["cellar"]);
  assert.deepEqual(bare.problems, []);
});

test("the list of keys gives the place back, and keys are letters where somebody types", async () => {
  const page = await world.page();
  await page.goto(`${world.url}/projects/1/history/`);
  await page.keyboard.press("j");
  const at = () => page.evaluate(() => document.activeElement?.getAttribute("href"));
  const before = await at();
  assert.ok(before);
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await at(), before);
  await page.keyboard.press("/");
  await page.keyboard.type("?hj");
  assert.equal(await page.getByRole("dialog").count(), 0);
  assert.equal(await page.getByLabel("Words of a build").inputValue(), "?hj");
  assert.deepEqual(page.problems, []);
});
