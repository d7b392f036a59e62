// Tests and artifacts of a job in a real browser.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { eventually, jobOf, World } from "./world.mjs";

const SCRIPT = `#!/bin/bash
# kozmic: title = Tests
# kozmic: image = kozmic/debian:bookworm
cat > $KOZMIC_REPORTS/junit.xml <<'END'
<testsuites><testsuite name="orbit" file="tests/orbit.rs">
<testcase classname="orbit::moon" name="goes round" time="0.25"/>
<testcase classname="orbit::moon" name="casts no shadow at noon" time="0.01"><skipped message="no sun"/></testcase>
<testcase classname="orbit::moon" name="keeps its distance &lt;i&gt;" time="1.5" line="7"><failure message="expected 384400 km, found 384399 km">thread 'main' panicked at tests/orbit.rs:7
  left: 384399
 right: 384400</failure><system-out>measured twice</system-out></testcase>
<testcase classname="orbit::mars" name="is red" time="12"><error message="the telescope did not open"/></testcase>
</testsuite></testsuites>
END
printf 'broken' > $KOZMIC_REPORTS/broken.xml
mkdir $KOZMIC_ARTIFACTS/pages
printf '<script>document.title = "taken"</script>' > $KOZMIC_ARTIFACTS/pages/index.html
printf 'plain\\n' > $KOZMIC_ARTIFACTS/notes.txt
echo tested
exit $(cat code)
`;

/** @type {World} */
let world;
before(async () => {
  world = await World.start({ "tests.sh": SCRIPT });
});
after(() => world?.end());

/**
 * Screenshots are written where SCREENSHOTS says, for people to look at.
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
async function picture(page, name) {
  if (!process.env.SCREENSHOTS) return;
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true });
}

/** @param {string} code what the script returns */
async function built(code) {
  await world.push("code", code, `Return ${code}`);
  return eventually("the build's end", async () => {
    const build = await world.latestBuild();
    return build && !["enqueued", "pending"].includes(build.status) && build;
  });
}

test("failed tests stand above the log, and lead to their history", async () => {
  const build = await built("1");
  for (const [look, options] of /** @type {const} */ ([
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", { colorScheme: "light", viewport: { width: 390, height: 800 } }],
  ])) {
    const page = await world.page(options);
    /** @param {string} name */
    const see = async (name) => {
      const found = await new AxeBuilder({ page }).analyze();
      assert.deepEqual(found.violations.map((it) => [it.id, it.nodes.map((node) => node.html)]), [], `${name}, ${look}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      assert.equal(wide, false, `${name}, ${look}: nothing is wider than the window`);
      await picture(page, `${name}-${look}`);
    };
    await page.goto(jobOf(build, "Tests").url);
    const tests = page.getByRole("region", { name: "Tests of Tests" });
    assert.equal(await tests.locator("strong").textContent(), "2 of 4 tests failed");
    assert.equal(await tests.locator("li").count(), 2);
    await tests.locator("summary").first().click();
    await tests.getByText("measured twice").waitFor();
    await page.getByText("2 artifacts").click();
    await see("job");
    await tests.getByRole("link", { name: "All tests" }).click();
    await page.getByRole("link", { name: "casts no shadow" }).waitFor();
    await see("all-tests");
    await page.getByRole("link", { name: "keeps its distance" }).click();
    await page.getByText("One result is shown").waitFor();
    await see("test");
    await page.getByRole("navigation", { name: "Project" }).getByRole("link", { name: "Tests" }).click();
    await page.getByRole("heading", { name: "Slowest" }).waitFor();
    assert.match((await page.locator(".rows li").first().textContent()) ?? "", /is red/);
    await see("project-tests");
    assert.deepEqual(page.problems, []);
    await page.context().close();
  }
});

test("an artifact is saved, not shown, and text is shown as text", async () => {
  const build = await eventually("the build", () => world.latestBuild());
  const page = await world.page();
  await page.goto(jobOf(build, "Tests").url);
  await page.getByText("2 artifacts").click();
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "pages/index.html" }).click();
  assert.equal((await download).suggestedFilename(), "index.html");
  assert.notEqual(await page.title(), "taken");
  await page.getByRole("link", { name: "notes.txt" }).click();
  await page.getByText("plain").waitFor();
  assert.equal(await page.evaluate(() => self.origin), "null", "it has no part in the site");
});
