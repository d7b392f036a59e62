// What people do at a project, from the first sign-in to its end, and whether everybody can
// read and operate the pages on the way.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isGood } from "./looks.mjs";
import { eventually, World } from "./world.mjs";

const SCRIPT = "#!/bin/bash\necho lifting off\n";

/** @type {World} */
let world;
before(async () => {
  world = await World.start();
  for (const login of ["bob", "carol", "mallory"]) await world.github("user", "add", login);
  await world.arrange("POST", "/organizations", { login: "acme", owner: "octo" });
  const long = "a-repository-whose-name-goes-on-and-on-until-it-has-as-many-letters-as-a-name-may-have-at-github-100";
  for (const name of ["acme/rocket", `acme/${long}`, "octo/attic"]) await world.github("repo", "add", name);
  await world.arrange("POST", "/policy", { repository: "acme/rocket", private: true });
  await world.arrange("POST", "/policy", { repository: "octo/attic", archived: true });
  for (const [login, role] of [["bob", "push"], ["carol", "pull"]]) {
    await world.arrange("POST", "/collaborators", { repository: "octo/orbit", login, role });
  }
});
after(() => world?.end());

/**
 * The status of the newest build of a page's project is this one.
 * @param {import("playwright-core").Page} page
 * @param {string} status
 */
async function isBuilt(page, status) {
  await page.locator('[data-live="build"] h2 .mark').filter({ hasText: status }).waitFor();
}

test("a project's life, from the sign-in to its deletion", async () => {
  const page = await world.page({ storageState: undefined });
  await page.goto(world.url);
  await isGood(page, "login");
  await page.getByRole("link", { name: "Sign in with GitHub" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("heading", { name: "Not signed in" }).waitFor();
  await isGood(page, "denied");
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.getByRole("link", { name: "Sign in with GitHub" }).click();
  await page.getByRole("button", { name: "Authorize as octo" }).click();
  await page.getByRole("heading", { name: "No project yet" }).waitFor();
  await isGood(page, "home");

  await page.getByRole("link", { name: "Turn on a repository" }).click();
  await page.getByRole("region", { name: "Repositories of acme" }).getByText("private").waitFor();
  await page.getByRole("region", { name: "Repositories of octo" }).getByText("archived").waitFor();
  await isGood(page, "repositories");
  await page.getByRole("button", { name: "Turn on octo/orbit" }).click();
  await page.getByRole("heading", { name: "Add a hook" }).waitFor();
  await isGood(page, "new-hook");

  // What is wrong stands by its field, and nothing that was typed is lost.
  await page.getByLabel("Title").fill("Tests");
  await page.getByLabel("Docker image").fill("No Image");
  await page.getByLabel("Build script").fill(SCRIPT);
  await page.getByLabel("Options").fill("memory = much");
  await page.getByRole("button", { name: "Add the hook" }).click();
  await page.getByRole("alert").filter({ hasText: "Nothing was saved" }).waitFor();
  for (const [label, problem] of [["Docker image", "No Image"], ["Options", "memory = much"]]) {
    const field = page.getByLabel(label);
    assert.equal(await field.getAttribute("aria-invalid"), "true", label);
    const [id] = ((await field.getAttribute("aria-describedby")) ?? "").split(" ");
    assert.match((await page.locator(`#${id}`).textContent()) ?? "", new RegExp(problem));
  }
  assert.equal(await page.getByLabel("Build script").inputValue(), SCRIPT);
  // The browser tells of the refusal as well.
  assert.match(page.problems.splice(0).join(), /422/);
  await isGood(page, "hook-with-errors");
  await page.getByLabel("Docker image").fill("kozmic/debian:bookworm");
  await page.getByLabel("Options").fill("memory = 256M");
  await page.getByRole("button", { name: "Add the hook" }).click();
  await page.locator('a[href$="/edit/"]', { hasText: "Tests" }).waitFor();
  await page.getByRole("link", { name: "History" }).click();
  await page.getByText("The next push to octo/orbit makes the first build.").waitFor();
  await isGood(page, "nothing-built");

  await world.push("a", "a", "Add the moon's orbit");
  await eventually("the first build", async () => {
    await page.goto(`${world.url}/projects/1/`);
    return page.url().includes("/builds/");
  });
  await isBuilt(page, "success");
  assert.equal(await page.locator("#L1 > span").textContent(), "lifting off");
  await isGood(page, "build");

  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByLabel("A newer push to a branch cancels").check();
  await page.getByRole("button", { name: "Save the options" }).click();
  await page.waitForURL(/settings\/\?done=options-saved#options$/);
  await page.getByRole("status").filter({ hasText: "Saved." }).waitFor();
  assert.ok(await page.getByLabel("A newer push to a branch cancels").isChecked());
  await page.locator('a[href$="/edit/"]', { hasText: "Tests" }).click();
  await page.getByLabel("Build script").fill(`${SCRIPT}echo twice\n`);
  await page.getByRole("button", { name: "Save the hook" }).click();
  await page.locator('a[href$="/edit/"]', { hasText: "Tests" }).click();
  await page.getByText("octo edited it").waitFor();
  await isGood(page, "hook");
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Restore webhooks" }).click();
  await page.getByText("The webhook of `Tests` is as it must be.").waitFor();

  // People of the repository.
  for (const [login, who] of [["bob", "manager"], ["carol", "member"]]) {
    const theirs = await world.page({ storageState: await world.signIn(login) });
    await theirs.goto(`${world.url}/projects/1/settings/`);
    await theirs.getByText(`${login}, ${who}`).waitFor();
    const manages = who === "manager";
    assert.equal(await theirs.getByRole("link", { name: "Add a hook" }).count(), manages ? 1 : 0);
    assert.equal(await theirs.getByRole("button", { name: "Delete the project" }).count(), 0);
    await isGood(theirs, `settings-${who}`);
    assert.deepEqual(theirs.problems, []);
  }
  await page.getByRole("button", { name: "Synchronize with GitHub" }).click();
  await page.getByText("Up to date with GitHub.").waitFor();
  assert.match(page.url(), /#members$/);
  await isGood(page, "settings-owner");
  await page.locator("a.who").click();
  await page.getByRole("heading", { name: "Account" }).waitFor();
  await isGood(page, "account");
  await page.getByLabel("Name, to know it again").fill("laptop");
  await page.getByRole("button", { name: "Make a token" }).click();
  await page.getByText("Copy the token now").waitFor();
  assert.match((await page.locator("pre.token").textContent()) ?? "", /^kozmic_[0-9a-f]+$/);
  await isGood(page, "account-token");
  await page.getByRole("button", { name: "Revoke laptop" }).click();
  await page.getByText("The token is revoked.").waitFor();
  assert.equal(await page.locator("pre.token").count(), 0);

  // A fork's pull request.
  await world.github("fork", "octo/orbit", "--as", "mallory");
  const theirs = { repository: "mallory/orbit", login: "mallory", branch: "better" };
  await world.push("b", "b", "Change the moon", theirs);
  const opened = ["octo/orbit", "--as", "mallory", "--head", "mallory:better", "--title", "A better moon"];
  await world.github("pull-request", ...opened);
  await eventually("the fork's build", async () => {
    await page.goto(`${world.url}/projects/1/history/`);
    return page.getByText("waits for a manager's approval").count();
  });
  await page.getByRole("link", { name: "Change the moon" }).click();
  await page.getByText("nothing of it has run").waitFor();
  await isGood(page, "fork");
  await page.getByRole("button", { name: "Approve this commit" }).click();
  await page.getByText("Approved by octo,").waitFor();
  await isBuilt(page, "success");
  await page.locator("#L2").waitFor();

  // Its end.
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByLabel("Type octo/orbit to confirm").fill("octo/orb");
  await page.getByRole("button", { name: "Delete the project" }).click();
  await page.getByText("type octo/orbit to delete it").waitFor();
  await isGood(page, "not-deleted");
  await page.getByLabel("Type octo/orbit to confirm").fill("octo/orbit");
  await page.getByRole("button", { name: "Delete the project" }).click();
  await page.getByRole("heading", { name: "No project yet" }).waitFor();
  assert.deepEqual(page.problems, []);
});
