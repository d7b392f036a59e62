// What others take for what Kozmic's own benches measure: Buildbot (at rest, to its first answer,
// webhooks that no build follows) and act (a trivial script in a container). TOOLS is the folder
// that `scripts/bench --peers` has put them into.

import { execFile, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, get, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { peer, spread } from "./figures.mjs";
import { pssOfAll } from "./proc.mjs";

const run = promisify(execFile);
const { TOOLS = "" } = process.env;
const MIB = 1024 * 1024;
const AT_ONCE = 16;
const DELIVERIES = 1_000;
const RUNS = 10;
const SECRET = "the webhook's secret";

/** @param {number} milliseconds */
const after = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function buildbot(/** @type {string} */ folder) {
  const bin = join(TOOLS, "buildbot/bin");
  const version = (await readFile(join(TOOLS, "buildbot/version"), "utf8")).trim();
  const name = `Buildbot ${version}`;
  const [http, pb] = [20_000 + Math.floor(Math.random() * 5_000), 25_000 + Math.floor(Math.random() * 5_000)];
  const [master, worker] = [join(folder, "master"), join(folder, "worker")];
  await run(join(bin, "buildbot"), ["create-master", master]);
  await writeFile(join(master, "master.cfg"), `
from buildbot.plugins import schedulers, steps, util, worker
c = BuildmasterConfig = {}
c["workers"] = [worker.Worker("one", "pass")]
c["protocols"] = {"pb": {"port": "tcp:${pb}:interface=127.0.0.1"}}
factory = util.BuildFactory([steps.ShellCommand(command=["true"])])
c["builders"] = [util.BuilderConfig(name="tests", workernames=["one"], factory=factory)]
c["schedulers"] = [schedulers.SingleBranchScheduler(name="main", change_filter=util.ChangeFilter(branch="moonlight"), builderNames=["tests"])]
c["www"] = {"port": "tcp:${http}:interface=127.0.0.1", "change_hook_dialects": {"github": {"secret": "${SECRET}", "strict": True}}}
c["db"] = {"db_url": "sqlite:///state.sqlite"}
c["buildbotNetUsageData"] = None
`);
  await run(join(bin, "buildbot-worker"), ["create-worker", worker, `127.0.0.1:${pb}`, "one", "pass"]);
  const began = performance.now();
  const server = spawn(join(bin, "buildbot"), ["start", "--nodaemon"], { cwd: master, stdio: "ignore" });
  const answers = () => new Promise((resolve) => {
    get({ host: "127.0.0.1", port: http, path: "/api/v2/application.spec", agent: false }, (answer) => {
      answer.resume();
      resolve(true);
    }).on("error", () => resolve(false));
  });
  while (!(await answers())) {
    if (server.exitCode !== null) throw new Error(`buildbot ended with ${server.exitCode}`);
    await after(5);
  }
  const took = performance.now() - began;
  const hand = spawn(join(bin, "buildbot-worker"), ["start", "--nodaemon"], { cwd: worker, stdio: "ignore" });
  try {
    await peer("peers", { peer: `${name}, its first answer`, of: "at_rest", what: "start to ready", unit: "ms", figure: { median: took } });
    await after(10_000);
    const memory = (await pssOfAll(server.pid ?? 0)) + (await pssOfAll(hand.pid ?? 0));
    await peer("peers", { peer: `${name}, master and worker`, of: "at_rest", what: "memory at rest (PSS)", unit: "MiB", figure: { median: memory / MIB } });
    const { rate, times } = await deliver(http);
    await peer("peers", { peer: name, of: "webhooks", what: "webhooks taken, 16 at a time", unit: "/s", figure: { median: rate } });
    await peer("peers", { peer: name, of: "webhooks", what: "a webhook, of 16 at a time", unit: "ms", figure: spread(times) });
  } finally {
    for (const child of [hand, server]) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
    }
  }
}

/** Signed pushes that no scheduler wants. @param {number} port */
async function deliver(port) {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  /** @type {number[]} */
  const times = [];
  let next = 0;
  const one = async () => {
    while (next < DELIVERIES) {
      const sha = (0xabc_0000 + next++).toString(16).padStart(40, "0");
      const url = "https://github.com/octo/orbit";
      const person = { name: "Ada", email: "ada@example.org", username: "ada" };
      const commit = {
        id: sha, distinct: true, message: "Change something", timestamp: "2026-01-01T00:00:00Z", url: `${url}/commit/${sha}`,
        author: person, committer: person, added: [], removed: [], modified: ["src/lib.rs"],
      };
      const body = JSON.stringify({
        ref: "refs/heads/main", before: "0".repeat(40), after: sha, created: false, deleted: false, forced: false,
        compare: url, commits: [commit], head_commit: commit, pusher: person, sender: { login: "ada" },
        repository: { id: 1, name: "orbit", full_name: "octo/orbit", html_url: url, clone_url: `${url}.git`, default_branch: "main" },
      });
      const headers = {
        "content-type": "application/json", "content-length": Buffer.byteLength(body), "x-github-event": "push",
        "x-hub-signature": `sha1=${createHmac("sha1", SECRET).update(body).digest("hex")}`,
      };
      const began = performance.now();
      const status = await new Promise((resolve, reject) => {
        const sent = request({ host: "127.0.0.1", port, path: "/change_hook/github", method: "POST", agent, headers }, (answer) => {
          answer.resume();
          answer.on("end", () => resolve(answer.statusCode));
        });
        sent.on("error", reject);
        sent.end(body);
      });
      times.push(performance.now() - began);
      if (status !== 200) throw new Error(`Buildbot answered ${status}`);
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  const rate = DELIVERIES / ((performance.now() - began) / 1000);
  agent.destroy();
  return { rate, times };
}

async function act(/** @type {string} */ folder) {
  const version = (await readFile(join(TOOLS, "act/version"), "utf8")).trim();
  const place = join(folder, "act");
  await mkdir(join(place, ".github/workflows"), { recursive: true });
  await writeFile(join(place, ".github/workflows/one.yml"), "on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo done\n");
  const git = (/** @type {string[]} */ ...args) => run("git", ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", ...args], { cwd: place });
  await git("init", "--quiet");
  await git("add", "--all");
  await git("commit", "--quiet", "--message", "First");
  const times = [];
  for (let n = 0; n <= RUNS; n++) {
    const began = performance.now();
    const image = ["--platform", "ubuntu-latest=kozmic/debian:bookworm", "--pull=false"];
    const { stdout } = await run(join(TOOLS, "act/bin/act"), ["push", ...image], { cwd: place, env: { ...process.env, HOME: folder } });
    if (!stdout.includes("done")) throw new Error(stdout);
    // The first one is to warm up.
    if (n) times.push(performance.now() - began);
  }
  await peer("peers", { peer: `act ${version}`, of: "run", what: "`kozmic run` of a trivial script", unit: "ms", figure: spread(times) });
}

const folder = await mkdtemp(join(tmpdir(), "kozmic-peers-"));
try {
  await act(folder);
  await buildbot(folder);
} finally {
  await rm(folder, { recursive: true, force: true });
}
