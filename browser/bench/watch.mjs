// One viewer in a real Chromium, among those of `benches/viewers.rs`: says `ready` when it
// follows the log at PAGE, in the name of COOKIE, and in the end how late lines were drawn.

import { chromium } from "playwright-core";

const { PAGE = "", COOKIE = "", CHROMIUM } = process.env;
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
try {
  const context = await browser.newContext();
  const [name = "", value = ""] = COOKIE.split("=");
  await context.addCookies([{ name, value, url: new URL(PAGE).origin }]);
  const page = await context.newPage();
  await page.addInitScript(() => {
    /** @type {Map<string, number>} */
    const late = new Map();
    Object.assign(globalThis, { late });
    new MutationObserver(() => {
      const now = performance.timeOrigin + performance.now();
      for (const row of document.querySelectorAll("#log .l")) {
        const at = /at=(\d+) /.exec(row.textContent ?? "");
        if (at && !late.has(row.id)) late.set(row.id, now - Number(at[1]) / 1000);
      }
    }).observe(document, { childList: true, subtree: true });
  });
  await page.goto(PAGE);
  await page.locator('[data-part="bar"]').waitFor();
  console.log("ready");
  await page.locator('[data-live="build"][data-finished="true"]').waitFor({ timeout: 600_000 });
  /** @type {number[]} */
  const late = await page.evaluate("[...late.values()]");
  late.sort((a, b) => a - b);
  /** @param {number} share */
  const at = (share) => late[Math.floor((late.length - 1) * share)]?.toFixed(1);
  console.log(`${late.length} lines drawn: median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`);
} finally {
  await browser.close();
}
