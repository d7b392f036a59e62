// A project's life with the keyboard alone: everything is reached, each stop can be seen, and
// nothing holds the keyboard.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually, World } from "./world.mjs";

/** More stops than any page has. */
const MOST = 250;
const SCRIPT = `#!/bin/bash
for n in $(seq 30); do echo "step $n of the way to the moon"; done
echo 'a needle'
`;

/** @type {World} */
let world;
before(async () => {
  world = await World.start();
});
after(() => world?.end());

/** @typedef {import("playwright-core").Page} Page */

/**
 * Where the keyboard is: what it is called, and what is wrong with how that is shown.
 * @param {Page} page
 */
const stop = (page) =>
  page.evaluate(() => {
    const it = document.activeElement;
    /** @type {string[]} */
    const wrong = [];
    if (!(it instanceof HTMLElement) || it === document.body) return { name: "", html: "", wrong };
    /** @param {string | null | undefined} text */
    const words = (text) => text?.replace(/\s+/g, " ").trim();
    const isField = it instanceof HTMLInputElement || it instanceof HTMLSelectElement || it instanceof HTMLTextAreaElement;
    const label = isField ? it.labels?.[0]?.cloneNode(true) : undefined;
    if (label instanceof HTMLElement) for (const inner of label.querySelectorAll("select, textarea, option")) inner.remove();
    const name = words(it.getAttribute("aria-label")) || words(label?.textContent) || words(it.textContent) || it.getAttribute("name") || "";
    /** @param {Element | null} one */
    const ring = (one) => one && getComputedStyle(one).outlineStyle !== "none" && Number.parseFloat(getComputedStyle(one).outlineWidth) >= 2;
    const { left, right, top, bottom } = it.getBoundingClientRect();
    if (![it, it.nextElementSibling, it.closest(".code")].some(ring)) wrong.push("has no ring");
    if (bottom <= 0 || top >= innerHeight || right <= 0 || left >= innerWidth) wrong.push("is not on the screen");
    return { name, html: it.outerHTML.slice(0, 160), wrong };
  });

/**
 * One stop on, or back.
 * @param {Page} page
 */
async function step(page, back = false) {
  const from = await page.evaluateHandle(() => document.activeElement);
  // An editor takes Tab for itself until Escape, as it says below.
  if (await page.evaluate((it) => it?.matches("[data-code]"), from)) await page.keyboard.press("Escape");
  await page.keyboard.press(back ? "Shift+Tab" : "Tab");
  const isHeld = await page.evaluate((it) => document.activeElement === it && it !== document.body, from);
  const at = await stop(page);
  assert.equal(isHeld, false, `the keyboard is held by ${at.html}`);
  assert.deepEqual(at.wrong, [], at.html);
  return at;
}

/**
 * By Tab to what is called so.
 * @param {Page} page
 * @param {string | RegExp} name
 */
async function go(page, name) {
  /** @type {string[]} */
  const met = [];
  for (let n = 0; n < MOST; n++) {
    const at = await step(page);
    if (name instanceof RegExp ? name.test(at.name) : at.name === name) return at;
    met.push(at.name);
  }
  return assert.fail(`Tab does not lead to ${name}, but to ${[...new Set(met)].join(" | ")}`);
}

/**
 * @param {Page} page
 * @param {string | RegExp} name
 */
async function press(page, name, key = "Enter") {
  await go(page, name);
  await page.keyboard.press(key);
}

/**
 * @param {Page} page
 * @param {string | RegExp} name
 * @param {string} text
 */
async function write(page, name, text) {
  await go(page, name);
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type(text);
}

/**
 * Tab leads through all there is and out again, and Shift+Tab back.
 * @param {Page} page
 */
async function isNoTrap(page) {
  await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
  for (const back of [false, true]) {
    let left = MOST;
    do {
      assert.ok(left--, "Tab never leaves the page");
    } while ((await step(page, back)).name !== "" );
  }
}

/** @type {(page: Page, name: string) => Promise<void>} */
const heading = (page, name) => page.getByRole("heading", { name }).first().waitFor();

test("from the sign-in to the sign-out", async () => {
  const page = await world.page({ storageState: undefined });
  await page.goto(world.url);
  await isNoTrap(page);
  await press(page, "Sign in with GitHub");
  await page.getByRole("button", { name: "Authorize as octo" }).waitFor();
  // GitHub's page, whose focus is not ours to judge.
  await page.getByRole("button", { name: "Authorize as octo" }).focus();
  await page.keyboard.press("Enter");
  await heading(page, "No project yet");
  await press(page, "Turn on a repository");
  await heading(page, "Turn on a repository");
  await isNoTrap(page);
  await press(page, "Turn on octo/orbit");
  await heading(page, "Add a hook");
  await isNoTrap(page);

  // The first link leads past what all pages have.
  await page.goto(page.url());
  const first = await step(page);
  assert.equal(first.name, "Skip to the content");
  await page.keyboard.press("Enter");
  await write(page, /^Title/, "Tests");
  await write(page, /^Docker image/, "kozmic/debian:bookworm");
  await go(page, /^Build script/);
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.insertText(SCRIPT);
  await press(page, "Add the hook");
  await heading(page, "Hooks");
  await isNoTrap(page);

  // Somebody pushes.
  await press(page, "Latest build");
  await page.getByText("The next push to octo/orbit makes the first build.").waitFor();
  await world.push("a", "a", "Go to the moon");
  await page.locator(".builds li.success").waitFor();
  await page.keyboard.press("j");
  assert.deepEqual((await stop(page)).wrong, []);
  await page.keyboard.press("Enter");
  await page.locator('[data-live="build"] h2 .mark').filter({ hasText: "success" }).waitFor();
  await page.locator("#L31").waitFor();
  await isNoTrap(page);

  // The log.
  await page.keyboard.press("/");
  assert.deepEqual((await stop(page)).wrong, []);
  await page.keyboard.type("needle");
  await page.getByRole("list", { name: "Lines that match" }).waitFor();
  await page.keyboard.press("Enter");
  await page.locator("#L31.chosen").waitFor();
  await press(page, "View");
  await press(page, /^Wrap long lines/, "Space");
  await page.keyboard.press("Escape");
  await go(page, "Lines of the log");

  // Again.
  await press(page, "Run all again");
  await eventually("another job", async () => {
    const text = await page.locator('[data-live="facts"]').textContent();
    return /Earlier/.test(text ?? "") && /✓ success/.test(text ?? "");
  });

  await press(page, "History");
  await page.getByRole("link", { name: "Start a build" }).waitFor();
  await isNoTrap(page);
  await press(page, "Badge");
  await page.getByRole("img", { name: "Status of the latest build of main" }).waitFor();
  await page.keyboard.press("Enter");
  await press(page, "Settings");
  await heading(page, "Options");
  await press(page, "A newer push to a branch cancels the older builds of it", "Space");
  await go(page, /^Pull requests from forks/);
  await page.keyboard.press("End");
  await write(page, /^Days for which logs are kept/, "30");
  await press(page, "Save the options");
  await page.getByText("Saved.").waitFor();
  // Keys are the scripts'.
  await page.waitForLoadState();
  assert.ok(await page.getByLabel("A newer push to a branch cancels").isChecked());
  assert.equal(await page.getByLabel("Pull requests from forks").inputValue(), "never");
  assert.equal(await page.getByLabel("Days for which logs are kept").inputValue(), "30");

  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  assert.equal((await stop(page)).name, "Close");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await press(page, "Sign out");
  await heading(page, "Sign in");
  assert.deepEqual(page.problems, []);
});
