// Hostile texts wherever somebody's text is shown: nothing of them runs, nothing breaks, and they
// are on the page as the texts that they are.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { branch, short, TEXTS } from "./hostile.mjs";
import { overflow } from "./looks.mjs";
import { eventually, jobOf, World } from "./world.mjs";

const run = promisify(execFile);
const ALL = TEXTS.map(([, text]) => text);
/** @param {string} text */
const first = (text) => text.split("\n")[0] ?? "";
/**
 * XML has no control characters but these.
 * @param {string} text
 */
const xml = (text) =>
  text.replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "")
    .replace(/[&<>"\n]/g, (sign) => `&#${sign.codePointAt(0)};`);
/**
 * Any text as one of bash's words.
 * @param {string} text
 */
const word = (text) => `$'${[...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}'`;
/**
 * As JUnit's readers have it: on one line.
 * @param {string} text
 */
const named = (text) => short(text, 200);
/** @param {string} text */
const file = (text) => short(text, 60).replaceAll("/", "∕");

const REPORT = `<testsuites><testsuite name="${xml(named(ALL[0]))}">${ALL.map((text, n) =>
  `<testcase classname="${xml(named(text))}" name="${n} ${xml(named(text))}" file="${xml(named(text))}" time="1">${n % 2 ? "" :
    `<failure message="${xml(text)}">${xml(text)}</failure><system-out>${xml(text)}</system-out>`}</testcase>`).join("\n")}</testsuite></testsuites>`;
/** With what no script of anybody's has, and what ends others. */
const SCRIPT = `#!/bin/bash
# </textarea><script>window.__ran=1</script> {{7*7}} &lt; "'
cat > "$KOZMIC_REPORTS/junit.xml" <<'END_OF_REPORT'
${REPORT}
END_OF_REPORT
${ALL.map((text) => `printf %s ${word(text)} > "$KOZMIC_ARTIFACTS/"${word(file(text))}`).join("\n")}
${ALL.map((text, n) => `printf '%s\\n' ${word(`${n} ${text}`)}`).join("\n")}
sleep 4
${ALL.map((text, n) => `printf '%s\\n' ${word(`again ${n} ${text}`)}`).join("\n")}
exit 1
`;
const TITLE = short(`${ALL[1]}`, 100);

/** @type {World} */
let world;
/** @type {import("./world.mjs").Seen} */
let page;
before(async () => {
  world = await World.start();
  await world.github("user", "add", "mallory");
  page = await hostilePage();
});
after(() => world?.end());

/** A page that remembers whether anything ran, or wanted to. */
async function hostilePage() {
  const page = await world.page({ viewport: { width: 390, height: 844 } });
  page.on("dialog", (dialog) => {
    page.problems.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.addInitScript(() => {
    /** @type {string[]} */
    const refused = [];
    Object.assign(window, { __refused: refused });
    addEventListener("securitypolicyviolation", (event) => refused.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  return page;
}

/**
 * Nothing ran, nothing was refused, nothing is wider than a phone.
 * @param {import("./world.mjs").Seen} page
 * @param {string} what
 */
async function isHarmless(page, what) {
  const [ran, refused, elements] = await page.evaluate(() => [
    Reflect.get(window, "__ran"), Reflect.get(window, "__refused"),
    document.querySelectorAll("main [onerror], main [onload], main [onfocus], main [onmouseover], main script, main img[src=x]").length,
  ]);
  assert.deepEqual([ran, refused, elements], [undefined, [], 0], what);
  assert.equal(await overflow(page), 0, `${what} is wider than a phone`);
  assert.deepEqual(page.problems, [], what);
}

/**
 * Parsers of HTML know one kind of line end.
 * @param {string} text
 */
const shown = (text) => text.replace(/\r\n?/g, "\n").trim();

/**
 * @param {import("./world.mjs").Seen} page
 * @param {string} selector
 */
async function text(page, selector) {
  return (await page.locator(selector).allTextContents()).map((text) => text.trim());
}

test("a hook, and what it is refused for", async () => {
  await page.goto(`${world.url}/repositories/`);
  await page.getByRole("button", { name: "Turn on octo/orbit" }).click();
  for (const [name, bad] of TEXTS) {
    await page.goto(`${world.url}/projects/1/hooks/add/`);
    await page.getByLabel("Title").fill(name);
    for (const id of ["image", "tracked", "options"]) {
      // What is typed, not what the browser would cut.
      await page.locator(`#${id}`).evaluate((field, bad) => {
        field.removeAttribute("maxlength");
        Reflect.set(field, "value", bad);
      }, bad);
    }
    for (const id of ["install_script", "build_script"]) await page.locator(`#${id}`).fill(bad);
    const sent = await page.locator("#build_script").inputValue();
    await page.getByRole("button", { name: "Add the hook" }).click();
    await page.getByRole("alert").first().waitFor();
    assert.equal(await page.locator("#build_script").inputValue(), sent, name);
    page.problems = page.problems.filter((problem) => !/status of 422/.test(problem));
    await isHarmless(page, `a hook with ${name}`);
  }
  await page.goto(`${world.url}/projects/1/hooks/add/`);
  await page.getByLabel("Title").fill(TITLE);
  await page.getByLabel("Docker image").fill("kozmic/debian:bookworm");
  await page.getByLabel("Build script").fill(SCRIPT);
  await page.getByLabel("Options").fill(`branch = main\nbranch = mallory*/**\nenv = BAD=${ALL[4]}`);
  await page.getByRole("button", { name: "Add the hook" }).click();
  await page.getByRole("heading", { name: "Hooks" }).waitFor();
  assert.deepEqual(await text(page, "#hooks ~ ul .name"), [TITLE]);
  await isHarmless(page, "the settings");
  await page.locator('.name a[href$="/edit/"]').click();
  assert.equal(await page.locator("#title").inputValue(), TITLE);
  assert.equal(await page.locator("#build_script").inputValue(), SCRIPT);
  await isHarmless(page, "the hook");
  // One whose reason for not running has its pattern.
  await page.goto(`${world.url}/projects/1/hooks/add/`);
  await page.getByLabel("Title").fill(short(ALL[2], 100));
  await page.getByLabel("Docker image").fill("kozmic/debian:bookworm");
  await page.getByLabel("Build script").fill("true");
  await page.getByLabel("Options").fill(`branch = ${branch(ALL[3])}never`);
  await page.getByRole("button", { name: "Add the hook" }).click();
  await page.getByRole("heading", { name: "Hooks" }).waitFor();
  await isHarmless(page, "the settings with two hooks");
});

test("a job whose output, tests and artifacts are hostile, as it runs and after", async () => {
  const live = await hostilePage();
  await live.goto(`${world.url}/projects/1/history/`);
  await world.push("a", "a", ALL[0]);
  world.token = await world.kozmic("token", "create", "--user", "octo");
  // The list, as it is kept up to date.
  await live.locator(".builds .subject").first().waitFor();
  await isHarmless(live, "the history as it changes");
  const job = jobOf(await eventually("the build", () => world.latestBuild()), TITLE);
  await live.goto(job.url);
  await live.locator("#log .l").filter({ hasText: "again 20" }).waitFor();
  await live.locator('[data-live="facts"] .mark').filter({ hasText: "failure" }).waitFor();
  await isHarmless(live, "the job as it ran");
  assert.equal(await live.locator("nav.jobs bdi").textContent(), TITLE);
  assert.match((await live.locator('[data-live="build"] ul.meta').textContent()) ?? "", /was not run. Not wanted/);
  const lines = await (await live.context().request.get(`${world.url}/projects/1/jobs/${job.id}/log/?plain=1`)).text();
  for (const [name, bad] of TEXTS.filter(([name]) => !["control", "lines"].includes(name))) {
    assert.ok(lines.includes(bad), `${name} is in the plain log`);
  }
  /** @param {number} n */
  const row = (n) => live.locator("#log .l > span").filter({ hasText: new RegExp(`^${n} `) }).first();
  for (const n of [0, 1, 4, 9, 10]) assert.equal((await row(n).textContent()), `${n} ${ALL[n]}`);
  // Searched for.
  for (const bad of [ALL[0], ALL[1], ALL[9], ALL[11]]) {
    const find = live.getByLabel("Search the log");
    await find.fill(bad);
    await eventually(`${bad} among the lines`, async () => (await text(live, ".matches mark"))[0] === bad);
    assert.equal(await find.inputValue(), bad);
  }
  await isHarmless(live, "a search");

  // Tests.
  await live.goto(`${world.url}/projects/1/jobs/${job.id}/tests/`);
  const names = await text(live, ".results a bdi");
  assert.equal(names.length, TEXTS.length);
  const complaints = await text(live, ".results .complaint");
  for (const [n, bad] of ALL.entries()) {
    assert.ok(names.some((name) => name.startsWith(`${n} `)), `test ${n}`);
    if (![17, 18].includes(n)) assert.ok(names.includes(`${n} ${named(bad)}`.trim()), `${n}: ${names.find((name) => name.startsWith(`${n} `))}`);
    if (n % 2 === 0 && ![16, 18, 20].includes(n)) assert.ok(complaints.includes(bad.trim()), `message ${n}`);
  }
  await isHarmless(live, "the tests of the job");
  for (const summary of await live.locator(".results summary").all()) await summary.click();
  await isHarmless(live, "the details of the tests");
  const urls = await live.locator(".results a").evaluateAll((links) => links.map((link) => (link instanceof HTMLAnchorElement ? link.href : "")));
  for (const url of urls) {
    await live.goto(url);
    await isHarmless(live, `the test ${url}`);
  }
  await live.goto(`${world.url}/projects/1/tests/`);
  await isHarmless(live, "the project's tests");

  // Artifacts.
  await live.goto(job.url);
  await live.locator(".artifacts summary").click();
  const files = await live.locator(".artifacts li a").evaluateAll((links) =>
    links.map((link) => [link.textContent ?? "", link instanceof HTMLAnchorElement ? link.href : ""]));
  // A name that turns the direction of text, or breaks lines, is told and not kept.
  const refused = ALL.map(file).filter((name) => /[\u200E\u200F\u2028-\u202E\u2066-\u2069]/.test(name));
  assert.equal(files.length, new Set(ALL.map(file)).size - refused.length);
  assert.equal((await text(live, ".note")).filter((note) => /its name has/.test(note)).length, refused.length);
  for (const [name = "", url = ""] of files) {
    const bad = ALL.find((text) => file(text) === name);
    assert.ok(bad !== undefined, `an artifact is called ${name}`);
    const answer = await live.context().request.get(url);
    assert.equal(await answer.text(), bad, name);
    assert.match(answer.headers()["content-security-policy"] ?? "", /sandbox/);
    assert.equal(answer.headers()["x-content-type-options"], "nosniff");
  }
  await isHarmless(live, "the artifacts");

  // What answers with data, opened as a page.
  for (const path of [`log/lines/?from=1&count=50`, `log/search/?q=${encodeURIComponent(ALL[0])}`, "log/sections/", "log/?plain=1"]) {
    await live.goto(`${world.url}/projects/1/jobs/${job.id}/${path}`);
    assert.equal(await live.evaluate(() => Reflect.get(window, "__ran")), undefined, path);
    assert.match(await live.evaluate(() => document.contentType), /json|plain/, path);
  }
});

test("commits and branches with every text", async () => {
  // By git itself, which the stand-in's people do not use to write such things.
  const { token } = await (await fetch(`${world.githubUrl}/_sim/users/octo/token`)).json();
  const folder = join(world.folder, "hostile");
  await mkdir(folder);
  /** @param {string[]} args */
  const git = (...args) => run("git", args, { cwd: folder });
  await git("init", "--quiet");
  const authorization = `Authorization: Basic ${Buffer.from(`octo:${token}`).toString("base64")}`;
  const asOcto = ["-c", `http.extraHeader=${authorization}`];
  await git(...asOcto, "fetch", "--quiet", `${world.githubUrl}/octo/orbit.git`, "main");
  /** @type {string[]} */
  const branches = [];
  for (const [n, [name, bad]] of TEXTS.entries()) {
    await git("checkout", "--quiet", "--detach", "FETCH_HEAD");
    await writeFile(join(folder, "message"), `${bad}\n\n${bad}\n`);
    const author = short(bad, 60).replace(/[<>]/g, "") || "nobody";
    const as = ["-c", `user.name=${author}`, "-c", "user.email=bad@example.org"];
    await git(...as, "commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "-F", "message");
    const to = `mallory${n}/${branch(bad) || name}`;
    await git("branch", "--", to);
    branches.push(to);
  }
  await git(...asOcto, "push", "--quiet", `${world.githubUrl}/octo/orbit.git`, ...branches.map((name) => `refs/heads/${name}`));
  const builds = await eventually("all builds", async () => {
    const { builds } = await world.api("/projects/1/builds");
    /** @type {import("./world.mjs").Build[]} */
    const found = builds;
    return found.length > TEXTS.length && found;
  });
  for (const { id } of builds) await world.api(`/builds/${id}/cancel`, "POST").catch(() => {});
  for (const [n, [name, bad]] of TEXTS.entries()) {
    const found = builds.find((build) => build.ref.includes(`mallory${n}/`));
    assert.ok(found, `the build of ${name}`);
    assert.equal(found.ref.replace("refs/heads/", ""), branches[n]);
    await page.goto(found.url);
    const subject = await page.locator('[data-live="build"] .subject').textContent();
    assert.equal(shown(subject ?? ""), shown(first(bad)), name);
    assert.equal(await page.locator('[data-live="build"] .ref').first().textContent(), branches[n]);
    const details = page.getByText("Whole message");
    if (await details.count()) await details.click();
    await isHarmless(page, `a build of ${name}`);
  }
  await page.goto(`${world.url}/projects/1/history/`);
  const subjects = await text(page, ".builds .subject");
  for (const [name, bad] of TEXTS) assert.ok(subjects.some((subject) => shown(subject) === shown(first(bad))), `${name} in the history`);
  await isHarmless(page, "the history");
  await page.goto(world.url);
  await isHarmless(page, "home");
});

test("what is looked for, and other fields", async () => {
  for (const [name, bad] of TEXTS.filter(([name]) => name !== "long")) {
    const q = encodeURIComponent(bad);
    await page.goto(`${world.url}/?q=${q}`);
    const typed = bad.trim().replace(/[\n]/g, "");
    assert.equal(await page.locator("#find").inputValue(), typed, `${name} in the search`);
    await isHarmless(page, `home, looked for ${name}`);
    await page.goto(`${world.url}/projects/1/history/?text=${q}&branch=${q}&author=${q}&status=${q}`);
    await isHarmless(page, `history, looked for ${name}`);
    await page.goto(`${world.url}/login/?next=${q}`);
    await page.goto(`${world.url}/projects/${q}/`);
    page.problems = page.problems.filter((problem) => !/status of 40[04]/.test(problem));
    await isHarmless(page, `a project called ${name}`);
    await page.goto(`${world.url}/_auth/auth-callback/?error=${q}&error_description=${q}&state=${q}`);
    page.problems = page.problems.filter((problem) => !/status of [45]/.test(problem));
    await isHarmless(page, `a refusal called ${name}`);
  }
  // Tokens.
  await page.goto(`${world.url}/account/settings/`);
  for (const [name, bad] of TEXTS) {
    await page.getByLabel("Name, to know it again").fill(short(bad, 100));
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.locator("pre.token").waitFor();
    assert.ok((await text(page, "#tokens ~ ul .name")).includes(short(bad, 100)), name);
  }
  await isHarmless(page, "the account");
  // A build by hand: what is refused stands there again, what is given is shown.
  for (const [name, bad] of TEXTS.filter(([name]) => name !== "long")) {
    await page.goto(`${world.url}/projects/1/start/`);
    await page.getByLabel("Branch, tag or commit").fill(bad);
    await page.getByLabel("Variables").fill(`${bad}=`);
    await page.getByRole("button", { name: "Start the build" }).click();
    await page.getByRole("alert").waitFor();
    page.problems = page.problems.filter((problem) => !/status of 4/.test(problem));
    await isHarmless(page, `a build started by ${name}`);
  }
  const values = TEXTS.filter(([name]) => !["lines", "control", "long"].includes(name));
  await page.getByLabel("Branch, tag or commit").fill("main");
  await page.getByLabel("Variables").fill(values.map(([, bad], n) => `BAD_${10 + n}=${bad}`).join("\n"));
  await page.getByRole("button", { name: "Start the build" }).click();
  await page.getByText(`${values.length} variables given`).click();
  const given = await text(page, '[data-live="build"] dl.facts dd');
  assert.deepEqual(given, values.map(([, bad]) => bad.trim()));
  await isHarmless(page, "variables");
  await world.api(`/builds/${(await world.latestBuild())?.id}/cancel`, "POST");
  // A secret's name is one of a shell's, and its value is never shown.
  await page.goto(`${world.url}/projects/1/settings/`);
  const secrets = page.getByRole("region", { name: "Secrets" });
  await secrets.getByLabel("Name").evaluate((field) => {
    for (const name of ["pattern", "maxlength"]) field.removeAttribute(name);
  });
  await secrets.getByLabel("Name").fill(ALL[1]);
  await secrets.getByLabel("Value").fill(ALL[0]);
  await secrets.getByRole("button", { name: "Save the secret" }).click();
  await page.getByRole("alert").waitFor();
  await isHarmless(page, "a secret");
  await page.getByLabel("Type octo/orbit to confirm").fill(ALL[1]);
  await page.getByRole("button", { name: "Delete the project" }).click();
  await page.getByRole("alert").waitFor();
  await isHarmless(page, "what is not deleted");
});

test("a stranger's pull request", async () => {
  await world.github("fork", "octo/orbit", "--as", "mallory");
  for (const [name, bad] of [TEXTS[0], TEXTS[4], TEXTS[14], TEXTS[17]]) {
    const head = `bad-${name}`;
    const sha = await world.push("b", name, bad, { repository: "mallory/orbit", login: "mallory", branch: head });
    const title = short(bad, 250);
    await world.github("pull-request", "octo/orbit", "--as", "mallory", "--head", `mallory:${head}`, "--title", title, "--body", bad);
    const build = await eventually("its build", async () => {
      const build = await world.latestBuild();
      return build?.sha === sha && build;
    });
    await page.goto(build.url);
    await page.getByText("nothing of it has run").waitFor();
    assert.ok((await text(page, '[data-live="build"] bdi')).includes(title), name);
    await isHarmless(page, `a pull request titled ${name}`);
  }
  await page.goto(`${world.url}/projects/1/history/`);
  await isHarmless(page, "the history with pull requests");
});

test("repositories with the longest and the oddest names", async () => {
  const names = ["constructor", "__proto__", "-rf", "..x..", `${"M".repeat(100)}`, "null"];
  for (const name of names) await world.github("repo", "add", `octo/${name}`);
  await page.goto(`${world.url}/repositories/`);
  await page.getByRole("button", { name: "Synchronize with GitHub" }).click();
  await page.getByRole("button", { name: `Turn on octo/${names[4]}` }).waitFor();
  const offered = await text(page, ".offers .name");
  for (const name of names) assert.ok(offered.includes(name), name);
  await isHarmless(page, "the repositories");
  for (const name of names) {
    await page.goto(`${world.url}/repositories/`);
    await page.getByRole("button", { name: `Turn on octo/${name}` }).click();
    await page.getByRole("heading", { name: "Add a hook" }).waitFor();
    await isHarmless(page, `the first hook of ${name}`);
    await page.getByRole("link", { name: "History" }).click();
    await isHarmless(page, `the history of ${name}`);
  }
  await page.goto(world.url);
  await isHarmless(page, "home with them");
});
