// A walk through every screen as everybody: it answers as it must, can be read and operated in
// light, in dark and on phones, and asks nobody else for anything.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { furnish } from "./furnished.mjs";
import { judge, judgeNarrow, LOOKS, unseenFocus, wear } from "./looks.mjs";
import { NO_SCREENS, SCREENS } from "./screens.mjs";

const VISITORS = ["owner", "manager", "member", "administrator", "stranger", "anonymous"];
/** So many pages at once. */
const WALKERS = 2;

/** @typedef {import("./screens.mjs").Screen} Screen */
/** @typedef {import("./world.mjs").Seen & { strangers: string[] }} Walked */

/** @type {import("./furnished.mjs").Furnished} */
let furnished;
/** @type {import("./world.mjs").World} */
let world;
before(async () => {
  furnished = await furnish();
  world = furnished.world;
});
after(() => world?.end());

/**
 * What a visitor gets at a screen: its status, or `login` for being sent there.
 * @param {Screen} screen
 * @param {string} visitor
 */
function expected({ who, isPublic, status = 200 }, visitor) {
  if (who === "nobody") return status;
  if (who === "anyone") return status;
  if (visitor === "anonymous") return isPublic && who === "members" ? 200 : "login";
  if (who === "signed in") return status;
  if (who === "administrators") return visitor === "administrator" ? 200 : 404;
  if (visitor === "stranger") return !isPublic ? 404 : who === "members" ? 200 : 403;
  if (who === "managers" && visitor === "member") return 403;
  return status;
}

/**
 * What a page is made of, without its words: two that are the same look alike.
 * @param {Walked} page
 */
async function shape(page) {
  const parts = await page.evaluate(() =>
    [...document.querySelectorAll("body *")]
      .map((it) => `${it.tagName}.${it.getAttribute("class")}[${it.getAttributeNames().join()}]${it.getAttribute("role") ?? ""}`)
      .join("\n"),
  );
  return createHash("sha256").update(parts).digest("hex");
}

/**
 * What is wrong with a screen as a visitor sees it.
 * @param {Walked} page
 * @param {Screen} screen
 * @param {string} visitor
 * @param {Set<string>} seen kinds of pages that were judged
 */
async function visit(page, screen, visitor, seen) {
  const { name, isFile, act } = screen;
  const as = `${name}, ${visitor}`;
  page.problems.length = page.strangers.length = 0;
  await wear(page, LOOKS[0]);
  const path = screen.path(furnished);
  if (isFile) return visitFile(page, screen, visitor, path);
  const answer = await page.goto(world.url + path, { waitUntil: "load" });
  const told = page.url().startsWith(`${world.url}/login/`) && name !== "sign-in" ? "login" : answer?.status();
  const wanted = act ? 200 : expected(screen, visitor);
  if (told !== wanted) return [`${as}: ${told} instead of ${wanted} at ${path}`];
  if (act) await act(page);
  /** @type {string[]} */
  const wrong = [];
  const kind = await shape(page);
  if (!seen.has(kind)) {
    seen.add(kind);
    for (const look of LOOKS) wrong.push(...(await judge(page, `${name}-${visitor}`, look)));
    wrong.push(...(await unseenFocus(page, as)));
    wrong.push(...(await judgeNarrow(page, as)));
  }
  const isRefused = typeof told === "number" && (told >= 400 || (screen.status ?? 200) >= 400);
  const problems = page.problems.filter((problem) => !(isRefused && /the server responded with a status of 4/.test(problem)));
  wrong.push(...problems.map((problem) => `${as}, console: ${problem}`));
  wrong.push(...page.strangers.map((url) => `${as} asks another host: ${url}`));
  return wrong;
}

/**
 * A file is saved by browsers and not shown: what matters is who gets it.
 * @param {Walked} page
 * @param {Screen} screen
 * @param {string} visitor
 * @param {string} path
 */
async function visitFile(page, screen, visitor, path) {
  const answer = await page.context().request.get(world.url + path, { maxRedirects: 0 });
  const { location = "", "x-content-type-options": sniffed } = answer.headers();
  const told = location.startsWith("/login/") ? "login" : answer.status();
  const wanted = expected(screen, visitor);
  const wrong = told === wanted ? [] : [`${screen.name}, ${visitor}: ${told} instead of ${wanted} at ${path}`];
  if (told === 200 && sniffed !== "nosniff") wrong.push(`${screen.name}: a browser may take it for what it is not`);
  return wrong;
}

/**
 * A page of a visitor's that remembers whom it asked.
 * @param {string} visitor
 * @returns {Promise<Walked>}
 */
async function pageOf(visitor) {
  const seen = await world.page({ storageState: furnished.sessions[visitor] });
  const page = Object.assign(seen, { strangers: /** @type {string[]} */ ([]) });
  page.on("request", (request) => {
    if (!/^(data|blob|about):/.test(request.url()) && !request.url().startsWith(world.url)) page.strangers.push(request.url());
  });
  return page;
}

test("every screen, as everybody, in light and dark and on phones", async () => {
  const turns = VISITORS.map((visitor) => ({
    visitor,
    screens: SCREENS.filter(({ act, who }) => (act ? visitor === "owner" : who !== "nobody" || visitor === "anonymous")),
  }));
  /** @type {string[]} */
  const wrong = [];
  const seen = new Set();
  const walk = async () => {
    for (let turn = turns.shift(); turn; turn = turns.shift()) {
      const page = await pageOf(turn.visitor);
      for (const screen of turn.screens) {
        const found = visit(page, screen, turn.visitor, seen);
        wrong.push(...(await found.catch((/** @type {Error} */ error) => [`${screen.name}, ${turn.visitor}: ${error.message}`])));
      }
      await page.context().close();
    }
  };
  await Promise.all(Array.from({ length: WALKERS }, walk));
  assert.ok(seen.size > 30, `${seen.size} kinds of pages`);
  assert.equal(wrong.join("\n"), "");
});

test("a project that GitHub does not let go of, and what is broken here", async () => {
  const page = await pageOf("owner");
  await world.arrange("POST", "/faults", { method: "DELETE", path_contains: "/hooks/", kind: { status: 403 }, times: 9 });
  await page.goto(`${world.url}/projects/2/settings/`);
  await page.getByLabel("Type lumen/website to confirm").fill("lumen/website");
  await page.getByRole("button", { name: "Delete the project" }).click();
  await page.getByRole("heading", { name: "lumen/website was deleted" }).waitFor();
  /** @type {string[]} */
  const wrong = [];
  for (const look of LOOKS) wrong.push(...(await judge(page, "deleted", look)));
  assert.deepEqual(page.problems, []);

  // A table is gone that a page needs.
  const drop = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=30).execute('DROP TABLE api_tokens')";
  await promisify(execFile)("python3", ["-c", drop, join(world.folder, "data", "kozmic.db")]);
  const answer = await page.goto(`${world.url}/account/settings/`);
  assert.equal(answer?.status(), 500);
  for (const look of LOOKS) wrong.push(...(await judge(page, "error-500", look)));
  wrong.push(...(await unseenFocus(page, "error-500")), ...(await judgeNarrow(page, "error-500")));
  assert.equal(wrong.join("\n"), "");
  assert.doesNotMatch((await page.locator("body").textContent()) ?? "", /api_tokens|sqlite|no such table/i);
});

test("no page of the table of routes is left out", async () => {
  const table = await readFile(new URL("../docs/who-may-do-what.md", import.meta.url), "utf8");
  const routes = [...table.matchAll(/^\| GET \| `([^`]+)` \|/gm)].map(([, path = ""]) => path);
  assert.ok(routes.length > 30, `${routes.length} routes`);
  const visited = new Set(SCREENS.map(({ route }) => route));
  const left = routes.filter((path) => !path.startsWith("/api/") && !visited.has(path) && !NO_SCREENS[path]);
  assert.deepEqual(left, []);
});
