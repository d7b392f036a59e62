// Whether everybody can read and operate a page.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { AxeBuilder } from "@axe-core/playwright";

/** Every page is looked at in these. */
const LOOKS = /** @type {const} */ ([
  ["light", { width: 1200, height: 800 }, "light"],
  ["dark", { width: 1200, height: 800 }, "dark"],
  ["phone", { width: 390, height: 844 }, "light"],
]);

/**
 * In each of them nothing is wider than its window, and axe finds nothing. `SCREENSHOTS` is a
 * folder for pictures of what was seen.
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
export async function isGood(page, name) {
  for (const [look, size, colorScheme] of LOOKS) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    if (process.env.SCREENSHOTS) {
      await mkdir(process.env.SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-${look}.png`, fullPage: true });
    }
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.equal(overflow, 0, `${name} in ${look} is wider than its window`);
    const { violations } = await new AxeBuilder({ page }).analyze();
    const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map(({ html }) => html).join("\n")}`);
    assert.deepEqual(told, [], `${name} in ${look}`);
  }
  await page.setViewportSize(LOOKS[0][1]);
  await page.emulateMedia({ colorScheme: "light" });
}
