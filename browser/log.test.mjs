// The viewer of logs in a real browser, on a log of a million lines and on small ones.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { eventually, jobOf, World } from "./world.mjs";

const LINES = 1_000_000;
/** @param {string} title */
const HEAD = (title) => `#!/bin/bash\n# kozmic: title = ${title}\n# kozmic: image = kozmic/debian:bookworm\n`;
/** One line in a million is a needle, and one is an error. */
const LONG = `${HEAD("Long")}awk 'BEGIN {
  for (n = 1; n <= ${LINES}; n++) {
    if (n == 654321) print "a needle in line " n
    else if (n == 800000) print "error: orbit decays in line " n
    else print "line " n ": all is well on the way to the moon"
  }
}'
`;
const SMALL = `${HEAD("Small")}printf '\\033[1mcompiling\\033[0m orbit\\n'
echo '==> Unpack'
for n in $(seq 40); do echo "file $n"; done
echo '::group::Compile <orbit>'
for n in $(seq 60); do printf '\\033[32mcc\\033[0m part %s <b>not bold</b> & so on\\n' "$n"; done
echo '::endgroup::'
printf 'fetching 10%%\\rfetching 55%%\\rfetched 100%%\\n'
printf 'see \\033]8;;https://example.org/a?b&c\\033\\\\the docs\\033]8;;\\033\\\\ and \\033]8;;javascript:alert(1)\\033\\\\nothing\\033]8;;\\033\\\\\\n'
printf '\\033[38;2;250;120;10mexact\\033[0m \\033[38;5;208mindexed\\033[0m \\033[41;97mwhite on red\\033[0m\\n'
printf '月 wide\\n'
printf 'invalid \\377 byte\\n'
printf 'long %s end\\n' "$(printf 'x%.0s' $(seq 3000))"
echo 'thread main panicked at src/orbit.rs:12'
sleep 0.3
echo 'TypeError: the moon is not a function'
exit 1
`;
/** Goes on for about 22 seconds. */
const LIVE = `${HEAD("Live")}for n in $(seq 400); do echo "step $n"; done
for n in $(seq 401 600); do echo "step $n"; sleep 0.1; done
printf 'almost'
sleep 2
printf ' done\\n'
`;

/** @type {World} */
let world;
/** @type {import("./world.mjs").Build} */
let build;
before(async () => {
  world = await World.start({ "long.sh": LONG, "small.sh": SMALL, "live.sh": LIVE }, { KOZMIC_CONCURRENCY: "3" });
  await world.push("a", "a", "Count the way to the moon");
  build = await eventually("the build", () => world.latestBuild());
});
after(() => world?.end());

/** The build, once all of its jobs have ended: it is red before. */
const ended = () =>
  eventually("the end of all jobs", async () => {
    const latest = await world.latestBuild();
    return latest?.jobs.every(({ status }) => !["enqueued", "pending"].includes(status)) && latest;
  });

/** @param {string} title */
const urlOf = (title) => jobOf(build, title).url;

/**
 * Screenshots are written where SCREENSHOTS says, for people to look at.
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
async function picture(page, name) {
  if (!process.env.SCREENSHOTS) return;
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/log-${name}.png` });
}

/**
 * @param {import("playwright-core").Page} page
 * @param {number} n
 */
const text = (page, n) => page.locator(`#L${n} > span`).textContent();

/**
 * Whether a line can be read: it is here, on the screen, and not behind the bar.
 * @param {import("playwright-core").Page} page
 * @param {number} n
 */
function isOnScreen(page, n) {
  return page.evaluate((n) => {
    const line = document.getElementById(`L${n}`)?.getBoundingClientRect();
    const bar = document.querySelector(".log-bar")?.getBoundingClientRect();
    if (!line || !bar || document.querySelector(`#L${n}.missing`)) return false;
    return line.top >= bar.bottom - 1 && line.bottom <= innerHeight + 1;
  }, n);
}

/**
 * @param {import("playwright-core").Page} page
 * @param {number} n
 */
const onScreen = (page, n) => eventually(`line ${n} on the screen`, () => isOnScreen(page, n));

/**
 * The lines that can be seen are there, in order and without a gap.
 * @param {import("playwright-core").Page} page
 */
async function isWhole(page) {
  const seen = await eventually("all lines on the screen", () =>
    page.evaluate(() => {
      const bar = document.querySelector(".log-bar")?.getBoundingClientRect().bottom ?? 0;
      const box = document.querySelector("#log")?.getBoundingClientRect() ?? new DOMRect();
      const lines = [...document.querySelectorAll("#log .l")].filter((line) => {
        const { top, bottom } = line.getBoundingClientRect();
        return bottom > Math.max(bar, box.top) && top < Math.min(innerHeight, box.bottom);
      });
      if (!lines.length || lines.some((line) => line.classList.contains("missing"))) return undefined;
      const numbers = lines.map((line) => Number(line.id.slice(1)));
      const [first, last] = [lines[0], lines.at(-1)].map((line) => line?.getBoundingClientRect() ?? new DOMRect());
      const covers = first.top <= Math.max(bar, box.top) + 1 && last.bottom >= Math.min(innerHeight, box.bottom) - 1;
      return covers ? numbers : undefined;
    }),
  );
  assert.deepEqual(seen, seen.map((_, at) => seen[0] + at));
  return seen;
}

test("the end is followed until the reader scrolls, and a line is shown before it ends", async () => {
  // One that is written faster than its lines can be sent, besides.
  const fast = await world.page();
  await fast.goto(urlOf("Long"));
  const page = await world.page();
  await page.goto(urlOf("Live"));
  const follow = page.getByRole("button", { name: "Follow" });
  await page.locator("#L410").waitFor();
  assert.equal(await follow.getAttribute("aria-pressed"), "true");
  await onScreen(page, 415);
  await page.mouse.move(600, 500);
  await page.mouse.wheel(0, -2000);
  await eventually("the end of following", async () => (await follow.getAttribute("aria-pressed")) === "false");
  const top = (await isWhole(page))[0];
  await eventually("more lines", () => page.evaluate(() => Number(document.getElementById("viewer")?.dataset.total) >= 430));
  assert.equal((await isWhole(page))[0], top, "what is read stays where it is");
  await page.keyboard.press("f");
  await onScreen(page, 601);
  await page.locator('[data-live="facts"] .mark').filter({ hasText: "success" }).waitFor();
  assert.equal(await text(page, 601), "almost done");
  assert.equal(await follow.isVisible(), false, "what is over is not followed");
  await onScreen(fast, LINES);
  assert.ok((await fast.locator("#log .l").count()) <= 300);
  assert.deepEqual([...page.problems, ...fast.problems], []);
});

test("a log of a million lines opens at any line, and its page stays small", async () => {
  build = await ended();
  const page = await world.page();
  await page.goto(`${urlOf("Long")}#L900000`);
  await onScreen(page, 900000);
  assert.equal(await text(page, 900000), "line 900000: all is well on the way to the moon");
  assert.equal(await page.locator(".chosen").count(), 1);
  await isWhole(page);
  await picture(page, "million");
  const small = async () => assert.ok((await page.locator("#log .l").count()) <= 300);
  await small();

  await page.keyboard.press("g");
  await onScreen(page, 1);
  await isWhole(page);
  await page.keyboard.press("Shift+G");
  await onScreen(page, LINES);
  await isWhole(page);
  await page.keyboard.press("l");
  await page.keyboard.type("123,456");
  await page.keyboard.press("Enter");
  await onScreen(page, 123456);
  await page.waitForURL("**/#L123456");
  // Small movements are exact, whatever the scroll bar's scale is.
  const before = (await isWhole(page))[0];
  const height = await page.evaluate(() => document.getElementById("L123456")?.offsetHeight);
  await page.mouse.move(600, 500);
  for (let n = 1; n <= 10; n++) await page.mouse.wheel(0, 10 * (height ?? 0));
  await eventually("the movement", async () => (await isWhole(page))[0] === before + 100);
  // To anywhere by the scroll bar.
  for (const part of [0.25, 0.5, 0.9]) {
    await page.evaluate((part) => scrollTo(0, document.documentElement.scrollHeight * part), part);
    const [first] = await isWhole(page);
    assert.ok(Math.abs(first / LINES - part) < 0.25, `${first} at ${part}`);
    await small();
  }
  assert.deepEqual(page.problems, []);
});

test("lines have addresses that can be sent to others", async () => {
  build = await ended();
  const page = await world.page();
  await page.goto(build.url);
  await page.goto(urlOf("Small"));
  await page.locator("#L20 > a").click();
  await page.waitForURL(`${urlOf("Small")}#L20`);
  await page.locator("#L24 > a").click({ modifiers: ["Shift"] });
  await page.waitForURL(`${urlOf("Small")}#L20-L24`);
  assert.equal(await page.locator(".chosen").count(), 5);
  await page.reload();
  await onScreen(page, 20);
  assert.equal(await page.locator(".chosen").count(), 5);
  const other = await world.page();
  await other.goto(`${urlOf("Long")}#L777000-L777002`);
  await onScreen(other, 777000);
  assert.equal(await other.locator(".chosen").count(), 3);
  // Backwards is the same.
  await other.goto(`${urlOf("Small")}#L24-L20`);
  await onScreen(other, 20);
  assert.equal(await other.locator(".chosen").count(), 5);
  assert.deepEqual([...page.problems, ...other.problems], []);
});

test("the server searches, matches are listed and stepped through", async () => {
  build = await ended();
  const page = await world.page();
  await page.goto(urlOf("Long"));
  await page.keyboard.press("/");
  await page.keyboard.type("needle");
  const list = page.getByRole("list", { name: "Lines that match" });
  await list.getByRole("button").first().waitFor();
  assert.equal(await list.getByRole("button", { name: /^Line / }).count(), 1);
  assert.match((await list.textContent()) ?? "", /a needle in line 654321/);
  await page.keyboard.press("Enter");
  await onScreen(page, 654321);
  // With a plus while the server has not looked at all lines.
  await page.locator(".found").filter({ hasText: /^1 of 1\+?$/ }).waitFor();
  assert.equal(await page.evaluate(() => CSS.highlights.get("found")?.size), 1);
  await picture(page, "search");

  await page.goto(urlOf("Small"));
  await page.getByLabel("Search the log").fill("^FILE 1\\d$");
  await page.getByLabel("Regular expression").check();
  await list.getByRole("button").nth(9).waitFor();
  await page.locator(".found").filter({ hasText: "10 lines" }).waitFor();
  await page.getByLabel("Search the log").press("Enter");
  await onScreen(page, 12);
  await page.getByLabel("Search the log").press("Enter");
  await page.getByLabel("Search the log").blur();
  await page.keyboard.press("n");
  /** @param {number} n */
  const at = (n) => page.locator(".found").filter({ hasText: `${n} of 10` }).waitFor();
  await at(3);
  await page.keyboard.press("Shift+N");
  await at(2);
  for (const _ of "12") await page.keyboard.press("Shift+N");
  await at(10);
  await page.keyboard.press("n");
  await at(1);
  await page.getByLabel("Match case").check();
  await page.locator(".found").filter({ hasText: "No match" }).waitFor();
  await page.getByLabel("Search the log").fill("(");
  await page.locator(".found.wrong").filter({ hasText: "no regular expression" }).waitFor();
  // The browser tells of the refusal as well.
  assert.match(page.problems.splice(0).join(), /400/);
  await page.getByLabel("Regular expression").uncheck();
  await page.getByLabel("Match case").uncheck();
  await page.getByLabel("Search the log").fill("file 1");
  await list.getByRole("button").first().waitFor();
  await page.getByLabel("Search the log").press("Escape");
  await list.waitFor({ state: "hidden" });
  assert.deepEqual(page.problems, []);
});

test("errors are found from where the reader is, around the end", async () => {
  build = await ended();
  const page = await world.page();
  await page.goto(urlOf("Long"));
  await page.keyboard.press("e");
  await onScreen(page, 800000);
  await page.goto(urlOf("Small"));
  const errors = async () => (await page.locator(".chosen > span").allTextContents()).join();
  await page.getByRole("button", { name: "Next error" }).click();
  await eventually("the panic", async () => /panicked/.test(await errors()));
  await page.keyboard.press("e");
  await eventually("the next", async () => /TypeError/.test(await errors()));
  await page.keyboard.press("e");
  await eventually("the first again", async () => /panicked/.test(await errors()));
  assert.deepEqual(page.problems, []);
});

test("lines look as a terminal would show them, and nothing in them is the page's", async () => {
  build = await ended();
  const page = await world.page();
  await page.goto(urlOf("Small"));
  await page.locator("#L20").waitFor();
  await page.keyboard.press("Shift+G");
  await eventually("the link", () => page.locator("#log .l a[rel]").count());
  const lines = await page.locator("#log .l > span").allTextContents();
  assert.ok(lines.includes("fetched 100%"));
  assert.ok(lines.includes("see the docs and nothing"));
  assert.ok(lines.includes("invalid \ufffd byte"));
  assert.ok(lines.some((line) => line === "cc part 60 <b>not bold</b> & so on"));
  assert.equal(await page.locator("#log b").count(), 0);
  const links = page.locator("#log .l a[rel]");
  assert.equal(await links.count(), 1);
  assert.equal(await links.getAttribute("href"), "https://example.org/a?b&c");
  /** @param {string} selector */
  const colour = (selector) => page.locator(selector).evaluate((element) => getComputedStyle(element).color);
  assert.equal(await colour('#log [data-f="fa780a"]'), "rgb(250, 120, 10)");
  assert.equal(await colour("#log .f208:not([data-f])"), "rgb(255, 135, 0)");
  assert.deepEqual(page.problems, [], "no style or script was refused");
});

test("times, wrapping and folds change how lines look, and not where the reader is", async () => {
  build = await ended();
  const page = await world.page();
  await page.goto(urlOf("Small"));
  await page.locator("#L20").waitFor();
  for (const pattern of [/^\d\d:\d\d:\d\d\.\d{3}$/, /^\d\d:\d\d\.\d{3}$/, /^\+\d+\.\d{3}$/]) {
    await page.keyboard.press("t");
    await eventually("times", async () => pattern.test((await page.locator("#L3 > i").getAttribute("data-t")) ?? ""));
  }
  await picture(page, "times");
  await page.keyboard.press("Shift+G");
  const last = await page.evaluate(() => Number(document.getElementById("viewer")?.dataset.total));
  await onScreen(page, last);
  const delta = await eventually("the pause", () => page.locator(`#L${last} > i`).getAttribute("data-t"));
  assert.ok(Number(delta) >= 0.2 && Number(delta) < 5, delta);
  await page.keyboard.press("t");
  assert.equal(await page.locator("#log .l > i").count(), 0);

  const long = page.locator("#log .l").filter({ hasText: /^long/ });
  const height = async () => (await long.boundingBox())?.height ?? 0;
  assert.ok((await height()) > 60, "it is wrapped");
  await page.keyboard.press("w");
  assert.ok((await height()) < 30, "it is not");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  await page.locator(".across").evaluate((bar) => (bar.scrollLeft = 5000));
  await eventually("the movement", () => page.locator(".lines").evaluate((lines) => lines.scrollLeft > 1000));
  await picture(page, "nowrap");
  await page.keyboard.press("w");

  await page.keyboard.press("g");
  await page.getByRole("button", { name: /^Unpack, 40 lines/ }).waitFor({ timeout: 5000 }).catch(() => {});
  const section = page.getByRole("button", { name: /Compile <orbit>/ });
  await page.locator("#L44").waitFor();
  await section.click();
  assert.equal(await section.getAttribute("aria-expanded"), "false");
  await eventually("the fold", async () => (await page.locator("#L60").count()) === 0);
  const next = await section.evaluate((button) => Number(button.closest(".l")?.nextElementSibling?.id.slice(1)));
  assert.equal(await text(page, next), "fetched 100%");
  await picture(page, "folded");
  // Who goes to a line that is folded away sees it.
  await page.keyboard.press("l");
  await page.keyboard.type("60");
  await page.keyboard.press("Enter");
  await onScreen(page, 60);
  assert.equal(await section.getAttribute("aria-expanded"), "true");
  assert.deepEqual(page.problems, []);
});

test("sections that did not come are asked for again", async () => {
  build = await ended();
  const page = await world.page();
  // The first time, whenever the page is loaded.
  let isCut = false;
  page.on("request", (request) => {
    if (request.isNavigationRequest()) isCut = false;
  });
  await page.route("**/sections/", async (route) => {
    if (isCut) return route.continue();
    isCut = true;
    return route.abort();
  });
  await page.goto(`${urlOf("Small")}#L47`);
  await page.getByRole("button", { name: /Compile <orbit>/ }).waitFor();
});

test("what is copied has no numbers, and the log can be taken home", async () => {
  build = await ended();
  const page = await world.page({ permissions: ["clipboard-read", "clipboard-write"] });
  await page.goto(`${urlOf("Small")}#L1-L3`);
  await page.locator("#L3.chosen").waitFor();
  await page.keyboard.press("c");
  await page.locator(".said").filter({ hasText: "3 lines are copied." }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "compiling orbit\n==> Unpack\nfile 1\n");
  await page.evaluate(() => getSelection()?.selectAllChildren(document.querySelector(".lines") ?? document.body));
  const selected = await page.evaluate(() => String(getSelection()));
  assert.equal(selected.split("\n")[0], "compiling orbit");
  for (const [name, colours] of /** @type {const} */ ([["Download the text", false], ["Download with colours", true]])) {
    await page.locator(".menu summary").click();
    const download = page.waitForEvent("download");
    await page.getByRole("link", { name }).click();
    const content = await readFile(await (await download).path(), "utf8");
    assert.equal(content.includes("\x1b[1mcompiling"), colours, name);
    assert.ok(content.includes("compiling"), name);
    await page.keyboard.press("Escape");
  }
  assert.deepEqual(page.problems, []);
});

test("keys are explained, and can be switched off", async () => {
  build = await ended();
  const page = await world.page();
  await page.goto(urlOf("Small"));
  await page.locator("#L20").waitFor();
  // An address is known to the test a little after the page has it.
  const at = () => page.evaluate(() => Number(location.hash.slice(2)));
  await page.keyboard.press("j");
  const first = await at();
  assert.ok(first > 0);
  await page.keyboard.press("j");
  assert.equal(await at(), first + 1);
  await page.keyboard.press("k");
  assert.equal(await at(), first);
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keyboard" });
  await help.waitFor();
  await picture(page, "keys");
  await help.getByLabel("These keys are on").uncheck();
  await help.getByRole("button", { name: "Close" }).click();
  await page.keyboard.press("j");
  assert.equal(await at(), first);
  await page.reload();
  await page.keyboard.press("j");
  assert.equal(await at(), first, "it is remembered");
  assert.deepEqual(page.problems, []);
});

test("a log is read by pages without scripts", async () => {
  build = await ended();
  const page = await world.page({ javaScriptEnabled: false });
  await page.goto(urlOf("Long"));
  assert.equal(await text(page, 1), "line 1: all is well on the way to the moon");
  await page.getByRole("link", { name: "Later" }).click();
  assert.equal(await page.locator("#log .l").first().getAttribute("id"), "L501");
  await page.getByRole("link", { name: "Last" }).click();
  assert.equal(await page.locator("#log .l").last().getAttribute("id"), `L${LINES}`);
  await page.getByLabel("Line", { exact: true }).fill("654321");
  await page.getByRole("button", { name: "Go" }).click();
  assert.equal(await text(page, 654321), "a needle in line 654321");
  assert.equal(await page.getByRole("button", { name: "Next error" }).isVisible(), false);
  await picture(page, "no-script");
});

test("everybody can read and operate it, in any light and on a phone", async () => {
  build = await ended();
  const looks = /** @type {const} */ ([
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", { viewport: { width: 390, height: 844 }, hasTouch: true }],
  ]);
  for (const [look, options] of looks) {
    const page = await world.page({ reducedMotion: "reduce", ...options });
    await page.goto(`${urlOf("Small")}#L47-L50`);
    await page.locator("#L47").waitFor();
    await page.getByRole("button", { name: /Compile <orbit>/ }).waitFor();
    await page.getByLabel("Search the log").fill("part 1");
    await page.getByRole("list", { name: "Lines that match" }).waitFor();
    for (const [state, open] of [["", false], ["-menu", true]]) {
      if (open) await page.locator(".menu summary").click();
      const { violations } = await new AxeBuilder({ page }).analyze();
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      assert.deepEqual(found, [], look + state);
      await picture(page, `${look}${state}`);
    }
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.equal(overflow, 0, look);
    assert.deepEqual(page.problems, []);
  }
});
