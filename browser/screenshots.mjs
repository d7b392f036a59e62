// Takes the pictures of the documentation (`make screenshots`): docs/images/*.webp, of a server
// that is in use. SCREENSHOTS is a folder for the same as PNG, for tools that know no WebP.
//
// A second run makes the same pictures: times, durations and commits are set (pictures.py), and
// what else differs from run to run is replaced in the page (`settle`). What stays is that a page
// of builds that wait tells more of them on a machine that is very slow.

import { execFile } from "node:child_process";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { furnish } from "./furnished.mjs";
import { SCREENS } from "./screens.mjs";

const IMAGES = fileURLToPath(new URL("../docs/images/", import.meta.url));
/** Pixels of a picture for one of the page: letters stay sharp when it is looked at closely. */
const SCALE = 1.5;
const QUALITY = 82;
/** Bytes of all pictures together, of which everybody who clones the repository gets a copy. */
const MOST = 2.5 * 1024 * 1024;
const WIDE = { width: 1200, height: 780 };
/** As much as shows a log below what is told of its job. */
const TALL = { width: 1200, height: 1240 };
const PHONE = { width: 390, height: 780 };

/**
 * Name of the picture; name of the screen; its look.
 * @type {[string, string, string][]}
 */
const PICTURES = [
  ["home", "home", "light"],
  ["home-dark", "home", "dark"],
  ["home-phone", "home", "phone"],
  ["build", "build-failure", "light"],
  ["build-dark", "build-running", "dark"],
  ["build-phone", "build-failure", "phone"],
  ["waiting", "build-waiting", "light"],
  ["approval", "build-approval", "light"],
  ["tests", "tests-of-a-job", "light"],
  ["test", "test", "dark"],
  ["history", "history", "light"],
  ["history-dark", "history", "dark"],
  ["history-phone", "history", "phone"],
  ["start", "start", "light"],
  ["hook", "hook", "light"],
  ["settings", "settings", "light"],
  ["settings-phone", "settings", "phone"],
  ["new-project", "new-project", "light"],
  ["account", "account", "dark"],
  ["sign-in", "sign-in", "light"],
];

const run = promisify(execFile);
/** @type {(world: import("./world.mjs").World, what: string) => Promise<unknown>} */
const rewrite = (world, what) =>
  run("python3", [fileURLToPath(new URL("pictures.py", import.meta.url)), what, join(world.folder, "data", "kozmic.db")]);

/** What differs from run to run, as it is in every picture. */
function settle() {
  /** @type {[RegExp, string][]} */
  const fixed = [
    [/http:\/\/127\.0\.0\.1:\d+/g, "https://ci.lumen.example"],
    [/\d{4}-\d\d-\d\dT[\d:]+Z/g, "2026-12-01T18:30:00Z"],
    [/\d{4}-\d\d-\d\d \d\d:\d\d/g, "2026-12-02 02:30"],
    [/\w+ \d{1,2}, \d{4},? at \d+:\d+(:\d+)?\s[AP]M( \w+)?/g, "December 1, 2026 at 6:30 PM"],
    [/expires \d{4}-\d\d-\d\d/g, "expires 2027-03-01"],
    [/\b\d+ seconds ago|just now|\b1 minute ago/g, "2 minutes ago"],
    [/\d+\+(\w+)@users\.noreply\.github\.com/g, "$1@lumen.example"],
  ];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    let text = node.nodeValue ?? "";
    for (const [pattern, instead] of fixed) text = text.replace(pattern, instead);
    if (text !== node.nodeValue) node.nodeValue = text;
  }
}

/**
 * Takes one; its bytes.
 * @param {import("./furnished.mjs").Furnished} furnished
 * @param {[string, string, string]} picture
 */
async function take(furnished, [name, screen, look]) {
  const { world, sessions } = furnished;
  const found = SCREENS.find((one) => one.name === screen);
  if (!found) throw new Error(`there is no screen ${screen}`);
  const isPhone = look === "phone";
  const page = await world.page({
    viewport: isPhone ? PHONE : name === "build" || screen === "settings" ? TALL : WIDE,
    deviceScaleFactor: SCALE,
    colorScheme: look === "dark" ? "dark" : "light",
    reducedMotion: "reduce",
    storageState: screen === "sign-in" ? undefined : sessions.owner,
  });
  await page.goto(world.url + found.path(furnished), { waitUntil: "load" });
  if (/build|log/.test(screen)) await page.locator("#log .l").first().waitFor({ timeout: 3000 }).catch(() => {});
  // Nothing that comes later changes what was settled.
  await page.context().setOffline(true);
  await page.evaluate(settle);
  const cdp = await page.context().newCDPSession(page);
  const { data } = await cdp.send("Page.captureScreenshot", { format: "webp", quality: QUALITY });
  await writeFile(join(IMAGES, `${name}.webp`), Buffer.from(data, "base64"));
  if (process.env.SCREENSHOTS) {
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) });
  }
  await page.context().close();
  return (await stat(join(IMAGES, `${name}.webp`))).size;
}

const furnished = await furnish({ past: (world) => rewrite(world, "past"), projects: ["lumen/star-catalogue"] });
try {
  await rewrite(furnished.world, "age");
  let bytes = 0;
  for (const picture of PICTURES) bytes += await take(furnished, picture);
  console.log(`${PICTURES.length} pictures, ${Math.ceil(bytes / 1024)} KiB`);
  if (bytes > MOST) throw new Error(`the pictures have ${bytes} bytes, more than ${MOST}`);
} finally {
  await furnished.world.end();
}
