// A hook's editor, its tries and its changes, the project's badge, and a terminal in the
// container of a failed job.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isGood } from "./looks.mjs";
import { eventually, World } from "./world.mjs";

const IMAGE = "kozmic/debian:bookworm";
const HOOKS = {
  "tests.sh": `#!/bin/bash
# kozmic: title = Tests
# kozmic: image = ${IMAGE}
echo here > left.txt
exit 3
`,
};
/** With what editors lose easily: tabs, spaces at the end, empty lines at both ends. */
const SCRIPT = "#!/bin/bash\n\n# <b> & a comment\nif true; then\n\techo \"it is ${PWD} \" 'é'  \nfi\ncat <<-END\n\tdo not colour\n\tEND\n\n\n";

/** @type {World} */
let world;
/** @type {import("./world.mjs").Seen} */
let page;
before(async () => {
  world = await World.start(HOOKS, { KOZMIC_KEEP_FAILED: "3600" });
  page = await world.page();
  await world.push("a", "a", "The first");
  await world.finished();
  const other = await world.push("a", "b", "Another", { branch: "other" });
  await eventually("the other branch's build", async () => {
    const build = await world.finished();
    return build.sha === other;
  });
});
after(() => world?.end());

const edit = () => page.goto(`${world.url}/projects/1/hooks/1/edit/`);
const saved = async () => {
  await page.getByRole("button", { name: "Save the hook" }).click();
  await page.waitForURL(/done=hook-saved/);
};

test("what is written is kept as it is written, with the keyboard alone", async () => {
  await edit();
  const bytes = await page.evaluate(() => {
    const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    return loaded.reduce((sum, entry) => sum + (entry instanceof PerformanceResourceTiming ? entry.transferSize : 0), 0);
  });
  assert.ok(bytes > 1000 && bytes < 100_000, `the first view is ${bytes} bytes`);
  const field = page.getByLabel("Build script");
  await field.fill(SCRIPT);
  // Letter upon letter, and the lines counted.
  assert.equal(await page.locator(".code .colours").last().textContent(), `${SCRIPT}\n`);
  assert.equal(await page.locator(".code .numbers").last().textContent(), [...SCRIPT.split("\n").keys()].map((n) => `${n + 1}\n`).join(""));
  for (const [kind, text] of [["comment", "# <b> & a comment"], ["word", "if"], ["string", "'é'"], ["string", "do not colour"]]) {
    const all = await page.locator(`.code .colours .${kind}`).allTextContents();
    assert.ok(all.some((part) => part.includes(text ?? "")), `${kind}: ${all}`);
  }
  const [over, under] = await Promise.all([field.boundingBox(), page.locator(".code .colours").last().boundingBox()]);
  assert.ok(over && under && Math.abs(over.x - under.x) < 1 && Math.abs(over.y - under.y) < 1);
  await saved();
  await edit();
  assert.equal(await field.inputValue(), SCRIPT);

  // The tab key indents, in and out, what is chosen; and it can be undone.
  await field.fill("a\nb\n");
  await field.press("Control+Home");
  await field.press("Tab");
  assert.equal(await field.inputValue(), "  a\nb\n");
  await field.press("Control+a");
  await field.press("Tab");
  assert.equal(await field.inputValue(), "    a\n  b\n");
  await field.press("Shift+Tab");
  await field.press("Shift+Tab");
  assert.equal(await field.inputValue(), "a\nb\n");
  await field.press("Control+z");
  assert.equal(await field.inputValue(), "  a\nb\n");
  // And it leaves, as the field says.
  assert.ok(await page.getByText("To leave with it, press Escape before.").last().isVisible());
  const described = await field.getAttribute("aria-describedby");
  assert.ok(described?.includes("keys-of-build_script"), described ?? "");
  await field.press("Escape");
  await page.getByText("The tab key leaves now.").waitFor({ state: "attached" });
  await field.press("Tab");
  assert.equal(await field.inputValue(), "  a\nb\n");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "options");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "tracked");

  // Colours or none by what runs it.
  await field.fill("#!/usr/bin/env python3\nimport os  # here\n");
  assert.deepEqual(await page.locator(".code .colours .word").allTextContents(), ["import"]);
  await field.fill("#!/usr/bin/perl\nif (1) {}\n");
  assert.equal(await page.locator(".code.coloured").count(), 1, "the install script's alone");
  assert.deepEqual(page.problems, []);
});

test("without scripts it is a form like any other", async () => {
  const plain = await world.page({ javaScriptEnabled: false });
  await plain.goto(`${world.url}/projects/1/hooks/1/edit/`);
  assert.equal(await plain.getByLabel("Build script").inputValue(), SCRIPT);
  await plain.getByLabel("Title").fill("Tests, plainly");
  await plain.getByRole("button", { name: "Save the hook" }).click();
  await plain.waitForURL(/done=hook-saved/);
  await plain.goto(`${world.url}/projects/1/hooks/1/edit/`);
  assert.equal(await plain.getByLabel("Build script").inputValue(), SCRIPT);
  await plain.getByLabel("Title").fill("Tests");
  await plain.getByRole("button", { name: "Save the hook" }).click();
  await plain.waitForURL(/done=hook-saved/);
  await plain.goto(`${world.url}/projects/1/hooks/1/edit/`);
  const tab = plain.context().waitForEvent("page");
  await plain.getByLabel("Branch").fill("nowhere");
  await plain.getByRole("button", { name: "Try it" }).click();
  await (await tab).getByText("has no branch, tag or commit `nowhere`").waitFor();
  await plain.context().close();
});

test("what is wrong is said while it is written", async () => {
  await edit();
  /** @type {(string | null)[]} */
  const asked = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/hooks/check/")) asked.push(request.postData());
  });
  const image = page.getByLabel("Docker image");
  await image.fill("No Image");
  await page.getByText("`No Image` is not the name of a Docker image").first().waitFor();
  assert.equal(await image.getAttribute("aria-invalid"), "true");
  const described = await image.getAttribute("aria-describedby");
  assert.ok(described?.split(" ").includes("check-image"), described ?? "");
  await page.locator("[role=status]").filter({ hasText: "is not the name of a Docker image" }).waitFor({ state: "attached" });
  await isGood(page, "hook-checked");
  await image.fill(IMAGE);
  await page.getByText("A job ran on this image").waitFor();
  assert.equal(await image.getAttribute("aria-invalid"), null);
  await page.locator("[role=status]").filter({ hasText: "Nothing is wrong any more." }).waitFor({ state: "attached" });
  await page.getByLabel("Build script").fill("#!bash\ntrue\n");
  await page.getByText("needs the whole path of its interpreter").first().waitFor();
  await page.getByLabel("Build script").fill(SCRIPT);
  await page.getByText("The image’s /bin/bash runs it.").waitFor();
  // Neither what is as it was, nor the branch of a try, is asked about.
  const count = asked.length;
  await page.getByLabel("Branch").fill("ma");
  await page.getByLabel("Title").fill("Other");
  await page.getByLabel("Title").fill("Tests");
  await page.getByLabel("Options").fill("memory = much");
  await page.getByText("Options, `memory = much`").first().waitFor();
  assert.equal(asked.length, count + 1, asked.join("\n"));
  assert.deepEqual(page.problems, []);
});

test("a hook is tried as it stands in the form", async () => {
  await edit();
  await page.getByLabel("Build script").fill("#!/bin/bash\necho tried on $(cat a) of $KOZMIC_BUILD_REF\n");
  await page.getByLabel("Branch").fill("other");
  assert.deepEqual(
    (await page.locator("#branches option").evaluateAll((all) => all.map((option) => option.getAttribute("value")))).sort(),
    ["main", "other"],
  );
  await page.getByRole("button", { name: "Try it" }).click();
  const link = page.getByRole("link", { name: "its build" });
  await link.waitFor();
  await isGood(page, "hook-tried");
  // What was written is still there.
  assert.match(await page.getByLabel("Build script").inputValue(), /tried on/);
  const tab = page.context().waitForEvent("page");
  await link.click();
  const tried = await tab;
  await tried.locator("#L1").getByText("tried on b of other").waitFor();
  await tried.getByText("It runs a hook as octo had written it").waitFor();
  await isGood(tried, "try-of-a-hook");
  await tried.close();
  await page.getByLabel("Branch").fill("nowhere");
  await page.getByRole("button", { name: "Try it" }).click();
  await page.getByText("It was not tried: octo/orbit has no branch, tag or commit `nowhere`.").waitFor();
  assert.match(page.problems.splice(0).join(), /422/);
});

test("changes are shown line by line, and one is had back", async () => {
  await edit();
  await page.getByLabel("Build script").fill(SCRIPT.replace("fi\n", "fi\necho more\n"));
  await page.getByLabel("Options").fill("memory = 256M");
  await saved();
  await edit();
  await page.getByRole("link", { name: "build script, options" }).first().click();
  await page.locator("ins").filter({ hasText: "+ echo more" }).waitFor();
  await isGood(page, "hook-changes");
  await page.getByRole("link", { name: "Put this version into the form" }).last().click();
  await page.getByText("Nothing of it is saved yet.").waitFor();
  assert.equal(await page.getByLabel("Build script").inputValue(), "#!/bin/bash\necho here > left.txt\nexit 3\n");
  await isGood(page, "hook-restored");
  await saved();
  await edit();
  assert.equal(await page.getByLabel("Build script").inputValue(), "#!/bin/bash\necho here > left.txt\nexit 3\n");
  assert.deepEqual(page.problems, []);
});

test("settings have a badge to copy, and their contents", async () => {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto(`${world.url}/projects/1/settings/`);
  const contents = page.getByRole("navigation", { name: "On this page" });
  for (const link of await contents.getByRole("link").all()) {
    const target = (await link.getAttribute("href"))?.slice(1);
    assert.equal(await page.locator(`[id="${target}"]`).count(), 1, target);
  }
  await contents.getByRole("link", { name: "Badge" }).click();
  await page.getByRole("textbox", { name: "Branch" }).or(page.getByRole("combobox", { name: "Branch" })).fill("other");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/badge=other/);
  await page.getByRole("button", { name: "Copy the Markdown" }).click();
  await page.getByText("Markdown is copied.").waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied, `[![Kozmic-CI](${world.url}/badges/octo/orbit/other)](${world.url}/projects/1/builds/latest/?ref=other)`);
  assert.ok(await page.getByAltText("The badge of other").evaluate((image) => image instanceof HTMLImageElement && image.naturalWidth > 0));
  await isGood(page, "settings-badge");
  assert.deepEqual(page.problems, []);
});

test("a failed job is opened in a terminal", async () => {
  await page.goto(`${world.url}/projects/1/builds/1/`);
  const answer = page.waitForResponse((response) => response.url().endsWith("/shell/"));
  await page.getByRole("link", { name: "Open it here" }).click();
  const { "content-security-policy": policy = "" } = (await answer).headers();
  assert.match(policy, /style-src 'self';/);
  const terminal = page.locator(".terminal");
  await terminal.getByText("Connected.").waitFor();
  /** @param {string} text */
  const type = (text) => page.keyboard.type(`${text}\n`);
  const rows = terminal.locator(".xterm-rows");
  /** @param {string} text */
  const shows = (text) =>
    eventually(`the terminal to show ${text}`, async () => (await rows.textContent())?.includes(text));
  await type("echo $((6*7)) is it");
  await shows("42 is it");
  await type("cat left.txt; pwd");
  await shows("here");
  // Colours that only a style attribute could have.
  await type("printf '\\033[38;2;200;250;120mbright\\033[0m\\n'");
  const bright = rows.locator("span").filter({ hasText: /^bright$/ });
  const isBright = () =>
    bright.evaluateAll((all) => all.some((one) => getComputedStyle(one).color === "rgb(200, 250, 120)"));
  await eventually("the colour", isBright);
  // Its size follows the window's.
  const size = async () => {
    await type("clear; stty size; echo measured");
    return eventually("the size", async () => {
      const found = /(\d+) (\d+)\s*measured/.exec((await rows.locator("> div").allTextContents()).join("\n"));
      return found && Number(found[2]);
    });
  };
  const wide = await size();
  await page.setViewportSize({ width: 700, height: 700 });
  await eventually("fewer columns", async () => (await size()) < wide);
  await page.setViewportSize({ width: 1200, height: 800 });

  // The tab key completes, and another one leaves.
  await page.keyboard.type("cat lef");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await shows("cat left.txt");
  assert.ok(await terminal.getByLabel("Terminal, type here").evaluate((field) => field === document.activeElement));
  await page.keyboard.press("Control+Shift+X");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "End the shell");
  await isGood(page, "shell");
  await terminal.getByLabel("Terminal, type here").focus();
  await type("exit 5");
  await terminal.getByText("The shell ended with 5.").first().waitFor();
  await terminal.getByRole("button", { name: "Connect again" }).click();
  await terminal.getByText("Connected.").waitFor();
  await type("echo $((6*8)) again");
  await shows("48 again");
  await terminal.getByRole("button", { name: "End the shell" }).click();
  await terminal.getByText("You ended the shell.").first().waitFor();
  await page.goto(`${world.url}/projects/1/builds/1/`);
  await page.getByText("opened by octo").waitFor();
  assert.deepEqual(page.problems, []);
});
