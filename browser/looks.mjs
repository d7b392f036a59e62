// Whether everybody can read and operate a page.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";

/**
 * @typedef {import("playwright-core").Page} Page
 * @typedef {readonly [string, {readonly width: number, readonly height: number}, "light" | "dark"]} Look
 */

/** Every page is looked at in these. */
export const LOOKS = /** @type {const} */ ([
  ["light", { width: 1200, height: 800 }, "light"],
  ["dark", { width: 1200, height: 800 }, "dark"],
  ["phone", { width: 390, height: 844 }, "light"],
]);
/** The narrowest window that WCAG asks for (1.4.10). */
const NARROW = { width: 320, height: 640 };
/** WCAG 2.2 AA, which has the size of targets, and what axe's makers hold to be good besides. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/**
 * What axe finds on a page as it is; of colours alone, where nothing else can have changed.
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
export async function violations(page, isOfColours = false) {
  // By the debugger, which no policy for scripts forbids.
  await page.evaluate(axe);
  const runOnly = isOfColours ? { type: "rule", values: ["color-contrast"] } : { type: "tag", values: RULES };
  const found = await page.evaluate(
    // @ts-expect-error it was put there just now
    (runOnly) => globalThis.axe.run(document, { runOnly, resultTypes: ["violations"] }),
    runOnly,
  );
  /** @type {{id: string, help: string, nodes: {html: string}[]}[]} */
  const all = found.violations;
  return all.map(({ id, help, nodes }) => [`${id}: ${help}`, ...nodes.slice(0, 5).map(({ html }) => html)].join("\n"));
}

/**
 * How much wider than its window a page is.
 * @param {Page} page
 */
export const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/**
 * What stands out, where a page is wider than its window.
 * @param {Page} page
 */
const widest = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("body *")]
      .filter((it) => it.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
      .slice(-3)
      .map((it) => it.outerHTML.slice(0, 160))
      .join("\n"),
  );

/**
 * A page in one of the looks.
 * @param {Page} page
 * @param {Look} look
 */
export async function wear(page, [, size, colorScheme]) {
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
}

/**
 * What is wrong with a page in one of the looks.
 * @param {Page} page
 * @param {string} name
 * @param {Look} look
 */
export async function judge(page, name, look) {
  await wear(page, look);
  if (process.env.SCREENSHOTS) {
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-${look[0]}.png`, fullPage: true });
  }
  const wrong = [];
  if (await overflow(page)) wrong.push(`is wider than its window:\n${await widest(page)}`);
  wrong.push(...(await violations(page, look[0] === "dark")));
  return wrong.map((what) => `${name} in ${look[0]}: ${what}`);
}

/**
 * What is wrong with a page in a very narrow window.
 * @param {Page} page
 * @param {string} name
 */
export async function judgeNarrow(page, name) {
  await wear(page, ["narrow", NARROW, "light"]);
  return (await overflow(page)) ? [`${name} is wider than 320 pixels:\n${await widest(page)}`] : [];
}

/**
 * In each of them nothing is wider than its window, and axe finds nothing. `SCREENSHOTS` is a
 * folder for pictures of what was seen.
 * @param {Page} page
 * @param {string} name
 */
export async function isGood(page, name) {
  for (const look of LOOKS) assert.deepEqual(await judge(page, name, look), []);
  assert.deepEqual(await judgeNarrow(page, name), []);
  await wear(page, LOOKS[0]);
}

/**
 * What the keyboard reaches and nobody could see that it is there: without a ring, or behind
 * something that lies above it (WCAG 2.4.7 and 2.4.11). At most so many places are looked at.
 * @param {Page} page
 * @param {string} name
 */
export async function unseenFocus(page, name, most = 150) {
  // From here on the browser shows what has the focus.
  await page.keyboard.press("Tab");
  const wrong = await page.evaluate((most) => {
    const inside = document.querySelector("dialog[open]") ?? document;
    /** @type {NodeListOf<HTMLElement>} */
    const places = inside.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]");
    const reached = [...places].filter((it) => it.tabIndex >= 0 && !it.matches(":disabled") && it.checkVisibility({ visibilityProperty: true }));
    /** @param {Element} it */
    const ring = (it) => {
      const style = getComputedStyle(it);
      return style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2;
    };
    /** @type {string[]} */
    const told = [];
    for (const it of reached.slice(0, most)) {
      it.focus();
      const at = it.outerHTML.slice(0, 160);
      if (document.activeElement !== it) {
        told.push(`takes no focus: ${at}`);
        continue;
      }
      // Where parts lie above one another, the box around them has it.
      if (![it, it.nextElementSibling, it.closest(".code")].some((one) => one && ring(one))) told.push(`has no ring: ${at}`);
      const { left, right, top, bottom } = it.getBoundingClientRect();
      const [x, y] = [Math.max(left, 0) + Math.min(right, innerWidth), Math.max(top, 0) + Math.min(bottom, innerHeight)];
      const above = document.elementFromPoint(x / 2, y / 2);
      const isSeen = above && (it.contains(above) || above.contains(it) || above.closest("label")?.contains(it));
      if (!isSeen) told.push(`is behind ${above?.outerHTML.slice(0, 80)}: ${at}`);
    }
    return told;
  }, most);
  return wrong.map((what) => `${name}, focus: ${what}`);
}
