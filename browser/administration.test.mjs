// What administrators see of the installation, that others don't, and what a refusal looks like.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isGood } from "./looks.mjs";
import { eventually, World } from "./world.mjs";

// No worker has the label, so its jobs wait.
const WAITS = "#!/bin/sh\n# kozmic: title = Train\n# kozmic: image = busybox\n# kozmic: label = gpu\n";

/** @type {World} */
let world;
/** @type {import("./world.mjs").Seen} */
let page;
before(async () => {
  const settings = { KOZMIC_ADMINS: "octo", KOZMIC_DISK_BUDGET: "900G" };
  world = await World.start({ "train.sh": WAITS }, settings);
  await world.github("user", "add", "ada");
  await world.arrange("POST", "/collaborators", { repository: "octo/orbit", login: "ada", role: "pull" });
  page = await world.page();
});
after(() => world?.end());

test("an administrator finds workers, queue, projects and the audit log", async () => {
  await world.push("a", "1");
  await page.goto(world.url);
  await page.getByRole("link", { name: "Administration" }).click();
  await eventually("the account of the disks", async () => {
    await page.reload();
    return page.getByText("of a budget of 900 GiB").isVisible();
  });
  await page.getByText("✓ runs").waitFor();
  await isGood(page, "administration");
  await page.getByRole("link", { name: "Queue", exact: true }).click();
  await page.getByText("none has the label gpu").waitFor();
  await isGood(page, "administration-queue");
  await page.getByRole("button", { name: "Cancel Train of octo/orbit" }).click();
  await page.getByText("cancelled").first().waitFor();
  await page.goto(`${world.url}/administration/projects/`);
  await page.getByRole("row", { name: /octo\/orbit octo 1/ }).waitFor();
  await isGood(page, "administration-projects");
  await page.getByRole("link", { name: "Audit log" }).click();
  await page.getByRole("listitem").filter({ hasText: "octo cancelled a job: Train of build 1" }).waitFor();
  await isGood(page, "administration-audit");
  assert.deepEqual(page.problems, []);
});

test("a picture is from this server", async () => {
  await page.goto(`${world.url}/projects/1/history/`);
  const picture = page.locator(".account img.avatar");
  await eventually("the picture", () => picture.evaluate((img) => /** @type {HTMLImageElement} */ (img).naturalWidth > 0));
  assert.match((await picture.getAttribute("src")) ?? "", /^\/avatars\/\d+\/$/);
  await isGood(page, "history-with-picture");
});

test("managers see what was changed in their project", async () => {
  await page.goto(`${world.url}/projects/1/settings/`);
  await page.getByRole("link", { name: "What was changed here" }).click();
  await page.getByRole("listitem").filter({ hasText: "added a hook: Train" }).waitFor();
  await isGood(page, "changes");
});

test("others find no administration, and are told what to do", async () => {
  const ada = await world.page({ storageState: await world.signIn("ada") });
  await ada.goto(`${world.url}/projects/1/history/`);
  assert.equal(await ada.getByRole("link", { name: "Administration" }).count(), 0);
  await ada.goto(`${world.url}/administration/`);
  await ada.getByRole("heading", { name: "Not found" }).waitFor();
  await isGood(ada, "not-found");
  await ada.goto(`${world.url}/projects/1/hooks/add/`);
  await ada.getByRole("heading", { name: "Not allowed" }).waitFor();
  await isGood(ada, "not-allowed");
});
