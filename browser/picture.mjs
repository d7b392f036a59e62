// Takes the README's picture of a build page: the demo's log while it runs, its other job red.
// With the variables of the browser tests, in this folder: node picture.mjs

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { eventually, World } from "./world.mjs";

/** @param {string} path */
const place = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
/** @param {string} name */
const hook = (name) => readFile(place(`demo/hooks/${name}`), "utf8");

const hooks = { "style.sh": await hook("style.sh"), "tests.sh": await hook("tests.sh") };
const world = await World.start(hooks);
try {
  const page = await world.page({ viewport: { width: 1200, height: 830 } });
  const message = "Say where a planet is on its way around its star";
  await world.github("push", "octo/orbit", "--as", "octo", "--from", place("demo/sample"), "--message", message);
  const build = await eventually("the build", () => world.latestBuild());
  await page.goto(`${world.url}/projects/1/builds/${build.id}/`);
  await page.getByRole("navigation", { name: "Jobs" }).getByText("Tests").click();
  await page.getByText("Properties of random orbits").waitFor();
  await page.locator("nav.jobs .mark.failure").waitFor();
  await page.evaluate(() => window.scrollTo(0, 0));
  await page.screenshot({ path: place("docs/images/build.png") });
} finally {
  await world.end();
}
