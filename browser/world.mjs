// A world for one test: GitHub's stand-in and a server, both as programs, and
// the system's Chromium.

import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const run = promisify(execFile);
/**
 * Asks a program to end, and waits until it has.
 * @param {import("node:child_process").ChildProcess} [child]
 */
async function ended(child) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

/** Nothing that a test waits for takes longer. */
export const PATIENCE = 60_000;

/** @param {string} variable */
function program(variable) {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} is not set; run \`make test\``);
  return path;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  if (!address || typeof address === "string") throw new Error("no port is free");
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}

/**
 * What the API tells of a build.
 * @typedef {{ id: number, uuid: string, title: string, status: string, url: string }} Job
 * @typedef {{ id: number, number: number, status: string, sha: string, ref: string, url: string, jobs: Job[] }} Build
 * A page that remembers what went wrong in it.
 * @typedef {import("playwright-core").Page & { problems: string[] }} Seen
 */

/**
 * The job of that title.
 * @param {Build} build
 * @param {string} title
 */
export function jobOf(build, title) {
  const job = build.jobs.find((job) => job.title === title);
  if (!job) throw new Error(`build ${build.number} has no job ${title}`);
  return job;
}

/**
 * Asks again and again until `ask` gives something.
 * @template T
 * @param {string} what
 * @param {() => T | Promise<T>} ask
 * @returns {Promise<Exclude<Awaited<T>, false | 0 | "" | null | undefined>>}
 */
export async function eventually(what, ask) {
  const start = Date.now();
  for (;;) {
    const answer = await ask();
    if (answer) return /** @type {any} */ (answer);
    const waited = Date.now() - start;
    if (waited > PATIENCE) throw new Error(`waited in vain for ${what}`);
    // What takes long is asked for less often, or asking takes what it waits for its time.
    const pause = Math.min(Math.max(waited / 8, 20), 300);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * Chromium cuts off what it is loading when the machine's network changes, which it does whenever
 * a container begins or ends. What asks again by itself is right all the same; a page whose
 * scripts were cut off is loaded again, as a person would.
 */
const CUT = "net::ERR_NETWORK_CHANGED";
/** The exit code of what was killed. */
const KILLED = 137;

/** @param {import("playwright-core").Page} page */
function loadsWhole(page) {
  let [isWhole, isAsked] = [true, false];
  page.on("requestfailed", (request) => {
    const isNeeded = ["document", "script", "stylesheet"].includes(request.resourceType());
    if (isNeeded && request.failure()?.errorText === CUT) isWhole = false;
  });
  const [goto, reload] = [page.goto.bind(page), page.reload.bind(page)];
  /** @param {() => ReturnType<typeof reload>} load */
  const wholly = async (load) => {
    isAsked = true;
    try {
      for (;;) {
        isWhole = true;
        const answer = await load().catch((error) => {
          if (!String(error).includes(CUT)) throw error;
          isWhole = false;
          return null;
        });
        if (isWhole) return answer;
        // To go where the page is already, at one of its lines, loads nothing.
        if (answer) load = reload;
      }
    } finally {
      isAsked = false;
    }
  };
  page.goto = (url, options) => wholly(() => goto(url, options));
  page.reload = (options) => wholly(() => reload(options));
  // Where a link or a form has led.
  page.on("load", () => {
    if (isWhole || isAsked) return;
    isWhole = true;
    reload().catch(() => {});
  });
}

export class World {
  /** @type {import("node:child_process").ChildProcess[]} */
  children = [];
  folder = "";
  url = "";
  githubUrl = "";
  token = "";
  owner = "octo";
  /** Of the first project. */
  repository = "octo/orbit";
  /** @type {Record<string, string | undefined>} */
  environment = {};
  /** @type {Record<string, string | undefined>} */
  githubEnvironment = {};
  /** @type {import("node:child_process").ChildProcess | undefined} */
  server = undefined;
  /** @type {import("playwright-core").Browser | undefined} */
  browser = undefined;
  /**
   * Of the owner.
   * @type {import("playwright-core").BrowserContextOptions["storageState"]}
   */
  session = undefined;

  /**
   * Starts everything; `hooks` are the files, by name, of the project octo/orbit, or of another
   * `repository`, which `owner` administers. Without them there is no project yet. `settings` are
   * the server's, besides those that it needs.
   * @param {Record<string, string>} [hooks]
   * @param {Record<string, string>} settings
   */
  static async start(hooks, settings = {}, { owner = "octo", repository = "octo/orbit" } = {}) {
    const world = new World();
    world.owner = owner;
    world.repository = repository;
    try {
      await world.#start(hooks, settings);
    } catch (error) {
      await world.end();
      throw error;
    }
    return world;
  }

  /**
   * @param {Record<string, string> | undefined} hooks
   * @param {Record<string, string>} settings
   */
  async #start(hooks, settings) {
    this.folder = await mkdtemp(join(tmpdir(), "kozmic-browser-"));
    const github = `http://127.0.0.1:${await freePort()}`;
    this.githubUrl = github;
    this.url = `http://127.0.0.1:${await freePort()}`;
    this.githubEnvironment = { PATH: process.env.PATH, GITHUB_SIM_SERVER: github };
    this.spawn("GITHUB_SIM_BIN", ["serve", "--listen", github.slice(7), "--root", join(this.folder, "github")]);
    await eventually("GitHub's stand-in", () => fetch(github).then(() => true, () => false));
    const token = await this.github("user", "add", this.owner);
    const [account] = this.repository.split("/");
    if (account !== this.owner) await this.arrange("POST", "/organizations", { login: account, owner: this.owner });
    await this.github("repo", "add", this.repository);
    const app = await this.github("oauth-app", "add", "Kozmic", `${this.url}/_auth/`);
    const [clientId = "", clientSecret = ""] = app.split("\t");
    this.environment = {
      PATH: process.env.PATH,
      ...(process.env.DOCKER_HOST && { DOCKER_HOST: process.env.DOCKER_HOST }),
      KOZMIC_LISTEN: this.url.slice(7),
      KOZMIC_DATA_DIR: join(this.folder, "data"),
      KOZMIC_GITHUB_URL: github,
      KOZMIC_GITHUB_API_URL: `${github}/api/v3`,
      KOZMIC_GITHUB_TOKEN: token,
      KOZMIC_GITHUB_CLIENT_ID: clientId,
      KOZMIC_GITHUB_CLIENT_SECRET: clientSecret,
      ...settings,
    };
    await this.#serve();
    if (hooks) {
      await this.addProject(this.repository, hooks);
      this.token = await this.kozmic("token", "create", "--user", this.owner);
    }
    this.browser = await chromium.launch({
      executablePath: program("CHROMIUM"),
      // Chromium's own sandbox does not work as root, nor in most containers.
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    });
    this.session = await this.signIn(this.owner);
  }

  /**
   * A repository becomes a project; `hooks` are files by name.
   * @param {string} repository
   * @param {Record<string, string>} hooks
   */
  async addProject(repository, hooks) {
    await this.kozmic("project", "add", repository);
    const folder = await mkdtemp(join(this.folder, "hooks-"));
    for (const [name, text] of Object.entries(hooks)) await writeFile(join(folder, name), text);
    if (Object.keys(hooks).length) await this.kozmic("hooks", "apply", repository, folder);
  }

  /**
   * What a browser keeps of somebody who has signed in, by the pages that lead there.
   * @param {string} login
   */
  async signIn(login) {
    const page = await this.page({ storageState: undefined });
    await page.goto(`${this.url}/account/settings/`);
    await page.getByRole("link", { name: "Sign in with GitHub" }).click();
    await page.getByRole("button", { name: `Authorize as ${login}` }).click();
    await page.getByRole("heading", { name: "Account" }).waitFor();
    if (page.problems.length) throw new Error(page.problems.join("\n"));
    const session = await page.context().storageState();
    await page.context().close();
    return session;
  }

  /**
   * @param {"KOZMIC_BIN" | "GITHUB_SIM_BIN"} variable
   * @param {string[]} args
   */
  spawn(variable, args) {
    const environment = variable === "KOZMIC_BIN" ? this.environment : this.githubEnvironment;
    const child = spawn(program(variable), args, { env: environment, cwd: this.folder, stdio: "ignore" });
    this.children.push(child);
    return child;
  }

  async #serve() {
    this.server = this.spawn("KOZMIC_BIN", ["serve"]);
    await eventually("the server", () => fetch(`${this.url}/readyz`).then((a) => a.ok, () => false));
  }

  /** The server ends as when it is updated; `meanwhile` happens before the next one starts. */
  async restart(meanwhile = async () => {}) {
    await ended(this.server);
    await meanwhile();
    await this.#serve();
  }

  /**
   * Runs something in the container of a job's build script, which may end it: that is killed then.
   * @param {Job} job
   * @param {string[]} command
   */
  async inContainer(job, ...command) {
    const label = `label=kozmic.job=${job.uuid}`;
    const step = "label=kozmic.step=build";
    const container = await eventually("the container", async () => {
      const { stdout } = await run("docker", ["ps", "--quiet", "--filter", label, "--filter", step]);
      return stdout.trim();
    });
    await run("docker", ["exec", "--user", "0", container, ...command]).catch((error) => {
      if (error.code !== KILLED) throw error;
    });
  }

  /** @param {string[]} args */
  async github(...args) {
    const { stdout } = await run(program("GITHUB_SIM_BIN"), args, { env: this.githubEnvironment });
    return stdout.trim();
  }

  /**
   * Arranges something at GitHub's stand-in that its commands do not know.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async arrange(method, path, body) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${this.githubUrl}/_sim${path}`, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`);
    return answer.json();
  }

  /** @param {string[]} args */
  async kozmic(...args) {
    const options = { env: this.environment, cwd: this.folder };
    const { stdout } = await run(program("KOZMIC_BIN"), args, options);
    return stdout.trim();
  }

  /**
   * Somebody pushes one file; the commit's id.
   * @param {string} path
   * @param {string} content
   */
  push(path, content, message = "Change something", { repository = this.repository, login = this.owner, branch = "main" } = {}) {
    const as = ["--as", login, "--branch", branch, "--message", message];
    return this.github("push", repository, ...as, "--write", `${path}=${content}`);
  }

  /**
   * What the API answers to the owner's token.
   * @param {string} path
   * @param {string} [body]
   * @returns {Promise<any>}
   */
  async api(path, method = "GET", body) {
    /** @type {Record<string, string>} */
    const headers = { authorization: `Bearer ${this.token}` };
    if (body) headers["content-type"] = "application/json";
    const answer = await fetch(`${this.url}/api/v1${path}`, { method, headers, body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  }

  /** @returns {Promise<Build | undefined>} */
  async latestBuild() {
    return (await this.api("/projects/1/builds")).builds[0];
  }

  /** The newest build, once it is finished. */
  finished() {
    return eventually("the build's end", async () => {
      const build = await this.latestBuild();
      return build && !["enqueued", "pending"].includes(build.status) && build;
    });
  }

  /**
   * A page of the owner's that remembers what went wrong in it.
   * @param {import("playwright-core").BrowserContextOptions} options
   * @returns {Promise<Seen>}
   */
  async page(options = {}) {
    if (!this.browser) throw new Error("there is no browser yet");
    const usual = { viewport: { width: 1200, height: 800 }, storageState: this.session };
    const context = await this.browser.newContext({ ...usual, ...options });
    const page = Object.assign(await context.newPage(), { problems: /** @type {string[]} */ ([]) });
    page.setDefaultTimeout(PATIENCE);
    page.on("console", (message) => {
      if (!["error", "warning"].includes(message.type()) || message.text().includes(CUT)) return;
      page.problems.push(message.text());
    });
    page.on("pageerror", (error) => page.problems.push(String(error)));
    page.on("requestfailed", (request) => {
      const reason = request.failure()?.errorText;
      if (reason !== "net::ERR_ABORTED" && reason !== CUT) page.problems.push(`${request.url()}: ${reason}`);
    });
    loadsWhole(page);
    return page;
  }

  async end() {
    await this.browser?.close();
    for (const child of this.children.reverse()) await ended(child);
    await rm(this.folder, { recursive: true, force: true });
  }
}
