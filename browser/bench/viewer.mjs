// How fast the viewer is, in a real Chromium: opening a log of a million lines at line
// 900,000, jumping about in it, searching, and what the page takes for it.
// `scripts/bench --viewer` runs it on release binaries. It fails on what is wrong, not on
// what is slow.

import assert from "node:assert/strict";
import { figure, spread } from "../../bench/figures.mjs";
import { eventually, jobOf, World } from "../world.mjs";

const LINES = 1_000_000;
const OPENED = 900_000;
const OPENS = 10;
const JUMPS = 50;
/** Seconds of processor time, of the browser in some 50 ms in which it does nothing else. */
const QUIET = 0.005;
/** 100 characters and a newline: 101 MB. */
const SCRIPT = `#!/bin/bash
# kozmic: title = Long
# kozmic: image = kozmic/debian:bookworm
awk 'BEGIN { for (n = 1; n <= ${LINES}; n++) printf "%08d %91s\\n", n, (n == 654321 ? "needle" : "all is well on the way to the moon") }'
`;
const TINY = `#!/bin/bash
# kozmic: title = Tiny
# kozmic: image = kozmic/debian:bookworm
seq 100
`;

const world = await World.start({ "long.sh": SCRIPT, "tiny.sh": TINY });
try {
  await world.push("a", "a");
  const build = await world.finished();
  /** @param {string} title */
  const urlOf = (title) => jobOf(build, title).url;

  const opened = [];
  for (let n = 0; n < OPENS; n++) {
    const page = await world.page();
    opened.push(await open(page, OPENED));
    await page.context().close();
  }
  await told(`first lines at line ${OPENED}, from the navigation on`, opened, 200);

  const page = await world.page();
  await open(page, OPENED);
  const jumps = [];
  for (let n = 0; n < JUMPS; n++) jumps.push(await jump(page, 1 + Math.floor(Math.random() * LINES)));
  await told("a jump to any line, until it is drawn", jumps, 100);

  const searches = [];
  for (let n = 0; n < 5; n++) searches.push(await search(page, "needle"));
  await told("a rare word, until it is listed", searches, 1250);

  const tiny = await world.page();
  await tiny.goto(urlOf("Tiny"));
  await tiny.locator("#L1").waitFor();
  const [large, small] = [await heap(page), await heap(tiny)];
  console.log(`heap of the page, MiB: ${large.toFixed(1)} after all of this, ${small.toFixed(1)} with 100 lines`);
  console.log(`rows in the page: ${await page.locator("#log .l").count()}`);
  assert.deepEqual([...page.problems, ...tiny.problems], []);

  /**
   * @param {import("../world.mjs").Seen} page
   * @param {number} line
   */
  async function open(page, line) {
    await page.addInitScript((line) => {
      // Noted in the frame that shows it.
      new MutationObserver((_, observer) => {
        if (!document.querySelector(`#L${line}:not(.missing) > span`)) return;
        observer.disconnect();
        requestAnimationFrame(() => Object.assign(globalThis, { seen: performance.now() }));
      }).observe(document, { subtree: true, childList: true });
    }, line);
    await quiet(page);
    await page.goto(`${urlOf("Long")}#L${line}`);
    /** @type {number} */
    const seen = await eventually("the line", () => page.evaluate("globalThis.seen"));
    await isLine(page, line);
    return seen;
  }
} finally {
  await world.end();
}

/**
 * Until the browser does nothing: for each new window it loads pages of its own, for a second.
 * @param {import("../world.mjs").Seen} page
 */
async function quiet(page) {
  const session = await page.context().browser()?.newBrowserCDPSession();
  const used = async () => {
    const told = await session?.send("SystemInfo.getProcessInfo");
    return (told?.processInfo ?? []).reduce((sum, process) => sum + process.cpuTime, 0);
  };
  let before = -Infinity;
  await eventually("a quiet browser", async () => {
    const now = await used();
    const isQuiet = now - before < QUIET;
    before = now;
    return isQuiet;
  });
  await session?.detach();
}

/**
 * @param {import("../world.mjs").Seen} page
 * @param {number} line
 * @returns {Promise<number>}
 */
async function jump(page, line) {
  const time = await page.evaluate(
    (line) =>
      new Promise((resolve, reject) => {
        const form = document.querySelector(".go");
        const field = form?.querySelector("input");
        if (!(form instanceof HTMLFormElement) || !field) return reject(new Error("no form"));
        field.value = String(line);
        const begin = performance.now();
        form.requestSubmit();
        const look = () => {
          if (document.querySelector(`#L${line}:not(.missing) > span`)) resolve(performance.now() - begin);
          else requestAnimationFrame(look);
        };
        look();
      }),
    line,
  );
  await isLine(page, line);
  return time;
}

/**
 * From the last key on: the pause that waits for another one, a quarter second, counts.
 * @param {import("../world.mjs").Seen} page
 * @param {string} text
 */
async function search(page, text) {
  const field = page.getByLabel("Search the log");
  await field.fill("");
  await page.locator(".matches").waitFor({ state: "hidden" });
  const begin = performance.now();
  await field.fill(text);
  await page.locator(".matches button").first().waitFor();
  return performance.now() - begin;
}

/**
 * @param {import("../world.mjs").Seen} page
 * @param {number} line
 */
async function isLine(page, line) {
  const text = await page.locator(`#L${line} > span`).textContent();
  assert.equal(Number(text?.slice(0, 8)), line);
}

/** @param {import("../world.mjs").Seen} page */
async function heap(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  return usedSize / 2 ** 20;
}

/**
 * @param {string} what
 * @param {number[]} times
 * @param {number} limit
 */
function told(what, times, limit) {
  return figure({ bench: "viewer", what, unit: "ms", kozmic: spread(times), limit: { of: "median", at_most: limit } });
}
