// Every screen of the product, who may see it, and how one gets there. The walk visits them all,
// and compares them with the table of routes in docs/who-may-do-what.md.

import { jobOf } from "./world.mjs";

/**
 * `route` is the route's path as that table has it, `path` an address of it in the furnished
 * world. `who` may enter: `nobody` (who has not signed in, and is the only one to visit it),
 * `anyone`, `signed in`, `members`, `insiders` (members also of what everybody sees), `managers`,
 * `administrators`; where `isPublic`, strangers see the project as well. `status` is what those are answered with. `act` leads from there to the screen, as the
 * owner, who alone is asked for it.
 *
 * @typedef {import("./furnished.mjs").Furnished} Furnished
 * @typedef {{name: string, route: string, path: (world: Furnished) => string, who: string, isPublic?: boolean,
 *   status?: number, isFile?: boolean, act?: (page: import("playwright-core").Page) => Promise<void>}} Screen
 */

const BUILD = "/projects/{project}/builds/{build}";
const JOB = `${BUILD}/jobs/{job}`;
const PROJECT = "/projects/{project}";

/** @typedef {(world: Furnished) => string} Path */
/** @type {(name: string) => Path} */
const build = (name) => (world) => `/projects/1/builds/${world.build(name).id}/`;
/** @type {(name: string, title: string, rest?: string) => Path} */
const job = (name, title, rest = "") => (world) =>
  `/projects/1/builds/${world.build(name).id}/jobs/${jobOf(world.build(name), title).id}/${rest}`;
/** @type {(name: string, title: string, rest: string) => Path} */
const ofJob = (name, title, rest) => (world) => `/projects/1/jobs/${jobOf(world.build(name), title).id}/${rest}`;
/** @type {(path: string) => Path} */
const at = (path) => () => path;

/** @type {Screen[]} */
export const SCREENS = [
  { name: "sign-in", route: "/login", path: at("/login/"), who: "nobody" },
  { name: "sign-in-refused", route: "/_auth/auth-callback", path: at("/_auth/auth-callback/?error=access_denied"), who: "anyone", status: 403 },
  { name: "home", route: "/", path: at("/"), who: "signed in" },
  { name: "home-found", route: "/projects", path: at("/?q=moon"), who: "signed in" },
  { name: "home-nothing-found", route: "/projects", path: at("/?q=nowhere"), who: "signed in" },
  { name: "new-project", route: "/repositories", path: at("/repositories/"), who: "signed in" },
  { name: "account", route: "/account/settings", path: at("/account/settings/"), who: "signed in" },
  {
    name: "account-token", route: "/account/settings", path: at("/account/settings/"), who: "signed in",
    async act(page) {
      await page.getByLabel("Name, to know it again").fill("laptop");
      await page.getByRole("button", { name: "Make a token" }).click();
      await page.getByText("Copy the token now").waitFor();
    },
  },
  { name: "latest-build", route: PROJECT, path: at("/projects/1/"), who: "members" },
  { name: "latest-build-public", route: PROJECT, path: at("/projects/2/"), who: "members", isPublic: true },
  ...["waiting", "running", "success", "failure", "error", "cancelled", "approval", "superseded", "nightly", "services"]
    .map((name) => ({ name: `build-${name}`, route: BUILD, path: build(name), who: "members" })),
  { name: "job-held", route: JOB, path: job("failure", "Deploy"), who: "members" },
  { name: "job-kept", route: JOB, path: job("failure", "Tests"), who: "members" },
  { name: "log-page", route: JOB, path: job("success", "Tests", "?page=1"), who: "members" },
  { name: "log-plain", route: `${PROJECT}/jobs/{job}/log`, path: ofJob("failure", "Tests", "log/"), who: "members", isFile: true },
  { name: "service-log", route: `${PROJECT}/jobs/{job}/services/{service}/log`, path: ofJob("services", "Integration", "services/tracker/log/"), who: "members", isFile: true },
  { name: "tests-of-a-job", route: `${PROJECT}/jobs/{job}/tests`, path: ofJob("failure", "Tests", "tests/"), who: "members" },
  { name: "tests", route: `${PROJECT}/tests`, path: at("/projects/1/tests/"), who: "members" },
  { name: "tests-none", route: `${PROJECT}/tests`, path: at("/projects/2/tests/"), who: "members", isPublic: true },
  { name: "test", route: `${PROJECT}/tests/{test}`, path: (world) => `/projects/1/tests/${world.test}/`, who: "members" },
  { name: "artifacts-tar", route: `${PROJECT}/jobs/{job}/artifacts`, path: ofJob("success", "Tests", "artifacts/"), who: "members", isFile: true },
  { name: "artifact", route: `${PROJECT}/jobs/{job}/artifacts/{*path}`, path: ofJob("success", "Tests", "artifacts/orbit-1.4.0.tar.gz"), who: "members", isFile: true },
  { name: "artifact-of-build", route: `${BUILD}/artifacts/{*path}`, path: (world) => `${build("success")(world)}artifacts/orbit-1.4.0.tar.gz`, who: "members", isFile: true, status: 303 },
  { name: "history", route: `${PROJECT}/history`, path: at("/projects/1/history/"), who: "members" },
  { name: "history-public", route: `${PROJECT}/history`, path: at("/projects/2/history/"), who: "members", isPublic: true },
  { name: "history-filtered", route: `${PROJECT}/history`, path: at("/projects/1/history/?text=moon&status=failure"), who: "members" },
  { name: "history-nothing-found", route: `${PROJECT}/history`, path: at("/projects/1/history/?author=nobody"), who: "members" },
  { name: "history-empty", route: `${PROJECT}/history`, path: at("/projects/3/history/"), who: "members" },
  { name: "settings", route: `${PROJECT}/settings`, path: at("/projects/1/settings/"), who: "members" },
  { name: "settings-public", route: `${PROJECT}/settings`, path: at("/projects/2/settings/"), who: "insiders", isPublic: true },
  { name: "settings-without-hooks", route: `${PROJECT}/settings`, path: at("/projects/3/settings/"), who: "members" },
  {
    name: "settings-not-deleted", route: `${PROJECT}/settings`, path: at("/projects/1/settings/"), who: "members",
    async act(page) {
      await page.getByLabel("Type lumen/orbit to confirm").fill("lumen");
      await page.getByRole("button", { name: "Delete the project" }).click();
      await page.getByText("type lumen/orbit to delete it").waitFor();
    },
  },
  { name: "hook-new", route: `${PROJECT}/hooks/add`, path: at("/projects/1/hooks/add/"), who: "managers" },
  {
    name: "hook-with-problems", route: `${PROJECT}/hooks/add`, path: at("/projects/1/hooks/add/"), who: "managers", status: 422,
    async act(page) {
      await page.getByLabel("Title").fill("Tests");
      await page.getByLabel("Docker image").fill("No Image");
      await page.getByLabel("Build script").fill("true");
      await page.getByLabel("Options").fill("memory = much");
      await page.getByRole("button", { name: "Add the hook" }).click();
      await page.getByRole("alert").filter({ hasText: "Nothing was saved" }).waitFor();
    },
  },
  { name: "hook", route: `${PROJECT}/hooks/{hook}/edit`, path: at("/projects/1/hooks/1/edit/"), who: "managers" },
  { name: "start", route: `${PROJECT}/start`, path: at("/projects/1/start/"), who: "managers" },
  {
    name: "start-with-problems", route: `${PROJECT}/start`, path: at("/projects/1/start/"), who: "managers", status: 400,
    async act(page) {
      await page.getByLabel("Branch, tag or commit").fill("nowhere");
      await page.getByRole("button", { name: "Start the build" }).click();
      await page.getByRole("alert").waitFor();
    },
  },
  { name: "hook-changes", route: `${PROJECT}/hooks/{hook}/changes`, path: at("/projects/1/hooks/1/changes/"), who: "managers" },
  // Its terminal, which makes an image and a container of what is kept, has a test of its own.
  { name: "shell-of-nothing", route: `${PROJECT}/jobs/{job}/shell`, path: ofJob("success", "Tests", "shell/"), who: "managers" },
  { name: "notifications", route: `${PROJECT}/notifications`, path: at("/projects/1/notifications/"), who: "managers" },
  { name: "changes", route: `${PROJECT}/changes`, path: at("/projects/1/changes/"), who: "managers" },
  { name: "unsubscribe-by-nobody", route: "/unsubscribe/{token}", path: at("/unsubscribe/nonsense/"), who: "anyone", status: 404 },
  { name: "administration", route: "/administration", path: at("/administration/"), who: "administrators" },
  { name: "administration-queue", route: "/administration/queue", path: at("/administration/queue/"), who: "administrators" },
  { name: "administration-projects", route: "/administration/projects", path: at("/administration/projects/"), who: "administrators" },
  { name: "administration-audit", route: "/administration/audit", path: at("/administration/audit/"), who: "administrators" },
  {
    name: "keys", route: "/", path: at("/"), who: "signed in",
    async act(page) {
      await page.keyboard.press("?");
      await page.getByRole("dialog").waitFor();
    },
  },
  { name: "error-401", route: "/tailer/{uuid}", path: at("/tailer/00000000-0000-0000-0000-000000000000/"), who: "nobody", status: 401 },
  { name: "error-404", route: PROJECT, path: at("/projects/999/"), who: "signed in", status: 404 },
  { name: "error-404-path", route: "/", path: at("/no/such/page/"), who: "anyone", status: 404 },
  { name: "error-405", route: "/logout", path: at("/logout/"), who: "signed in", status: 405 },
];

/**
 * Routes that answer browsers and are no screens: why.
 * @type {Record<string, string>}
 */
export const NO_SCREENS = {
  "/_hooks/hook/{hook}": "for GitHub",
  "/badges/{login}/{name}/{*ref}": "a picture",
  "/healthz": "for programs",
  "/readyz": "for programs",
  "/metrics": "for programs",
  "/static/{*path}": "parts of pages",
  "/avatars/{user}": "a picture",
  "/_auth": "leads to GitHub; whoever signs in was there",
  "/live": "a web socket",
  "/tailer/{uuid}": "a web socket",
  "/projects/{project}/jobs/{job}/log/lines": "lines for the page of the log",
  "/projects/{project}/jobs/{job}/log/search": "lines for the page of the log",
  "/projects/{project}/jobs/{job}/log/sections": "lines for the page of the log",
};
