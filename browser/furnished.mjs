// A server that is in use: projects, people, and a build in each state. The walk through all
// screens and the pictures of the documentation are of it.

import { eventually, jobOf, World } from "./world.mjs";

const IMAGE = "kozmic/debian:bookworm";
/** Who is there; the first one owns what there is. */
export const PEOPLE = { owner: "mara", manager: "jonas", member: "priya", administrator: "ada", stranger: "tomek" };

const TESTS = `#!/bin/bash
# kozmic: title = Tests
# kozmic: image = ${IMAGE}
# kozmic: env = ORBIT_PRECISION=double
# kozmic: track = packages.txt
#
# Builds the library and runs its tests. The file \`outcome\` says how they end.
outcome=$(cat outcome 2>/dev/null || echo 0)
echo '==> Configure'
printf 'checking for gcc... \\033[32myes\\033[0m\\nchecking for libm... \\033[32myes\\033[0m\\n'
echo '==> Build'
for part in vector kepler nutation precession refraction ephemeris observer; do
  printf '\\033[36m  CC\\033[0m src/%s.c\\n' $part
done
printf '\\033[36m  AR\\033[0m liborbit.a\\n'
[[ $outcome != wait ]] || { echo 'waiting for the simulator'; sleep 900; }
echo '==> Unit tests'
n=0
for name in 'a circle has no eccentricity' 'Kepler’s equation converges' 'periods grow with the axis' \\
  'nutation stays below 20 arc seconds' 'leap seconds are counted' 'Mars is red' 'the Moon rises 50 minutes later'; do
  n=$((n + 1))
  printf '\\033[32mPASS\\033[0m %2d  %s\\n' $n "$name"
done
mkdir -p "$KOZMIC_ARTIFACTS/coverage"
printf '<h1>Coverage</h1>\\n' > "$KOZMIC_ARTIFACTS/coverage/index.html"
printf 'orbit 1.4.0\\n' > "$KOZMIC_ARTIFACTS/orbit-1.4.0.tar.gz"
wrong='' word=passed
if [[ $outcome = 1 ]]; then
  wrong='<failure message="expected 384400 km, found 384399 km">tests/moon.c:41: distance at the perigee
  expected 384400
     found 384399</failure><system-out>measured twice</system-out>'
  word=failed
  printf '\\033[31mFAIL\\033[0m  8  the Moon keeps its distance\\n'
  printf '\\033[1mtests/moon.c:41\\033[0m: expected 384400 km, found \\033[31m384399 km\\033[0m\\n'
fi
cat > "$KOZMIC_REPORTS/junit.xml" <<END
<testsuites><testsuite name="orbit">
<testcase classname="orbit.moon" name="the Moon keeps its distance" time="0.41" file="tests/moon.c" line="41">$wrong</testcase>
<testcase classname="orbit.moon" name="the Moon rises 50 minutes later" time="0.62"/>
<testcase classname="orbit.kepler" name="Kepler’s equation converges" time="1.87"/>
<testcase classname="orbit.kepler" name="a circle has no eccentricity" time="0.02"/>
<testcase classname="orbit.kepler" name="periods grow with the axis" time="0.11"/>
<testcase classname="orbit.earth" name="nutation stays below 20 arc seconds" time="0.93"/>
<testcase classname="orbit.earth" name="leap seconds are counted" time="0.01"><skipped message="no table for this year"/></testcase>
</testsuite></testsuites>
END
printf '\\033[1mTests %s.\\033[0m\\n' $word
[[ $outcome = 0 ]]
`;
const STYLE = `#!/bin/bash
# kozmic: title = Style
# kozmic: image = ${IMAGE}
printf '\\033[1;32mNo offences in 23 files.\\033[0m\\n'
`;
const DEPLOY = `#!/bin/bash
# kozmic: title = Deploy
# kozmic: image = ${IMAGE}
# kozmic: after = Tests
# kozmic: branch = main
echo 'orbit 1.4.0 is on its way'
`;
const NIGHTLY = `#!/bin/bash
# kozmic: title = Nightly
# kozmic: image = ${IMAGE}
# kozmic: event = manual
# kozmic: cron = 30 2 * * * Europe/Berlin
# kozmic: cache-folder = ephemerides: /home/kozmic/ephemerides 2G
# kozmic: variant = short: YEARS=10
# kozmic: variant = long: YEARS=1000
date > /home/kozmic/ephemerides/de441
echo "integrated $YEARS years"
`;
/** Its service ends at once: that image runs nothing that stays. */
const INTEGRATION = `#!/bin/bash
# kozmic: title = Integration
# kozmic: image = ${IMAGE}
# kozmic: event = manual
# kozmic: service = tracker: ${IMAGE}
echo never
`;
const SOAK = `#!/bin/bash
# kozmic: title = Soak
# kozmic: image = ${IMAGE}
# kozmic: event = manual
for round in $(seq 30); do printf 'round %2d: 10,000 random orbits, \\033[32mall closed\\033[0m\\n' $round; done
sleep 3000
`;
const GPU = `#!/bin/bash
# kozmic: title = Render
# kozmic: image = ${IMAGE}
# kozmic: event = manual
# kozmic: label = gpu
echo never
`;
const ARM = `#!/bin/bash
# kozmic: title = Arm
# kozmic: image = registry.invalid/lumen/toolchain-arm:14
# kozmic: event = manual
echo never
`;
const SITE = `#!/bin/bash
# kozmic: title = Site
# kozmic: image = ${IMAGE}
echo '==> Render'
for page in index docs/start docs/reference blog/2026-11; do echo "wrote $page.html"; done
`;

/**
 * What was pushed, the oldest first: outcome, message, who, branch.
 * @type {[string, string, string, string][]}
 */
const PUSHES = [
  ["0", "Solve Kepler’s equation by Newton’s method", "mara", "main"],
  ["0", "Count leap seconds from the table of IERS", "jonas", "main"],
  ["1", "Measure the Moon’s distance from its centre\n\nIt was from the surface, which is 1,737 km less.", "jonas", "main"],
  ["0", "Take the mean radius of the Moon, as NASA does", "jonas", "main"],
  ["0", "Explain the units of every function", "jonas", "docs/units"],
  ["1", "Let the observer stand on a mountain", "mara", "observer-height"],
];

/** @param {{status: string}} job */
const ended = ({ status }) => !["enqueued", "pending"].includes(status);

/** @typedef {import("./world.mjs").Build} Build */

/** A world with all that. */
export class Furnished {
  /** @type {Record<string, Build>} by what became of them */
  #builds = {};
  /** @type {Record<string, import("playwright-core").BrowserContextOptions["storageState"]>} of people, by their roles */
  sessions = {};
  /** A test that fails. */
  test = "";

  /** @param {World} world */
  constructor(world) {
    this.world = world;
    this.url = world.url;
  }

  /** @param {string} name */
  build(name) {
    const build = this.#builds[name];
    if (!build) throw new Error(`no build is ${name}`);
    return build;
  }

  /** @param {Record<string, Build>} builds */
  keep(builds) {
    this.#builds = builds;
  }
}

/**
 * `past` is called before there are builds; `projects` are turned on besides.
 * @param {{past?: (world: World) => Promise<unknown>, projects?: string[]}} more
 */
export async function furnish({ past = async () => {}, projects = [] } = {}) {
  const files = {
    "tests.sh": TESTS, "style.sh": STYLE, "deploy.sh": DEPLOY, "nightly.sh": NIGHTLY, "integration.sh": INTEGRATION,
    "soak.sh": SOAK, "render.sh": GPU, "arm.sh": ARM,
  };
  const settings = { KOZMIC_KEEP_FAILED: "3600", KOZMIC_CONCURRENCY: "4", KOZMIC_ADMINS: PEOPLE.administrator };
  const world = await World.start(files, settings, { owner: PEOPLE.owner, repository: "lumen/orbit" });
  const furnished = new Furnished(world);
  try {
    await furnishProjects(furnished);
    for (const name of projects) await world.addProject(name, {});
    await past(world);
    await furnishBuilds(furnished);
  } catch (error) {
    await world.end();
    throw error;
  }
  return furnished;
}

/** @param {Furnished} furnished */
async function furnishProjects({ world, sessions }) {
  for (const login of Object.values(PEOPLE).filter((login) => login !== world.owner)) {
    await world.github("user", "add", login);
  }
  const names = ["website", "firmware", "ground-station", "star-catalogue", "attic"];
  for (const name of names) await world.github("repo", "add", `lumen/${name}`);
  await world.arrange("POST", "/policy", { repository: "lumen/ground-station", private: true });
  await world.arrange("POST", "/policy", { repository: "lumen/attic", archived: true });
  for (const name of ["orbit", "website", "firmware"]) {
    for (const [login, role] of [[PEOPLE.manager, "push"], [PEOPLE.member, "pull"]]) {
      await world.arrange("POST", "/collaborators", { repository: `lumen/${name}`, login, role });
    }
  }
  await world.addProject("lumen/website", { "site.sh": SITE });
  await world.addProject("lumen/firmware", {});
  await world.kozmic("project", "set", "lumen/website", "--visible-to-all", "on");
  await world.api("/projects/1/secrets/DEPLOY_TOKEN", "PUT", "very-secret-words");
  // Members are known once they have signed in.
  for (const [who, login] of Object.entries(PEOPLE)) sessions[who] = await world.signIn(login);
}

/**
 * A build that somebody starts by hand.
 * @param {World} world
 * @param {string} hook
 * @param {Record<string, string>} variables
 * @returns {Promise<number>}
 */
async function start(world, hook, variables = {}) {
  const build = await world.api("/projects/1/builds", "POST", JSON.stringify({ hooks: [hook], variables }));
  return build.id;
}

/** @type {(world: World, id: number) => Promise<Build>} */
const build = (world, id) => world.api(`/builds/${id}`);

/**
 * A build, once it is like this.
 * @param {World} world
 * @param {number} id
 * @param {string} what
 * @param {(build: Build) => boolean} is
 */
const once = (world, id, what, is) => eventually(`build ${id} ${what}`, async () => {
  const now = await build(world, id);
  return is(now) && now;
});

/**
 * @param {World} world
 * @param {string} sha
 * @returns {Promise<Build | undefined>}
 */
const buildOf = async (world, sha) =>
  (await world.api("/projects/1/builds")).builds.find((/** @type {Build} */ build) => build.sha === sha);

/**
 * @param {World} world
 * @param {string} outcome
 * @param {string} message
 * @param {string} login
 * @param {string} branch
 */
async function pushed(world, outcome, message, login, branch) {
  const sha = await world.push("outcome", outcome, message, { login, branch });
  return (await eventually(`the build of “${message}”`, () => buildOf(world, sha))).id;
}

/** @param {Furnished} furnished */
async function furnishBuilds(furnished) {
  const { world } = furnished;
  /** @type {Record<string, number>} */
  const ids = {};
  /** @type {number[]} */
  const inTurn = [];
  for (const [outcome, message, login, branch] of PUSHES) {
    inTurn.push(await pushed(world, outcome, message, login, branch));
  }
  await world.push("outcome", "0", "Show the tracks of the night", { repository: "lumen/website" });
  for (const id of inTurn) await once(world, id, "is over", (now) => now.jobs.every(ended));
  [, , ids.failure = 0, ids.success = 0] = inTurn;
  await world.kozmic("project", "set", "lumen/orbit", "--cancel-superseded", "on");
  ids.superseded = await pushed(world, "wait", "Turn the antenna faster", world.owner, "antenna");
  await once(world, ids.superseded, "runs", ({ jobs }) => jobs.some(({ status }) => status === "pending"));
  ids.superseding = await pushed(world, "0", "Turn the antenna at the same speed", world.owner, "antenna");
  ids.nightly = await start(world, "Nightly", { YEARS: "10" });
  ids.services = await start(world, "Integration");
  ids.error = await start(world, "Arm");
  ids.cancelled = await start(world, "Soak");
  await once(world, ids.cancelled, "runs", ({ status }) => status === "pending");
  await world.api(`/builds/${ids.cancelled}/cancel`, "POST");

  await world.github("fork", "lumen/orbit", "--as", PEOPLE.stranger);
  const fork = { repository: `${PEOPLE.stranger}/orbit`, login: PEOPLE.stranger, branch: "faster-solver" };
  const sha = await world.push("outcome", "0", "Start Newton’s method at Danby’s guess", fork);
  const opened = ["--as", PEOPLE.stranger, "--head", `${PEOPLE.stranger}:faster-solver`, "--title", "A faster solver"];
  await world.github("pull-request", "lumen/orbit", ...opened);
  ids.approval = (await eventually("the fork's build", () => buildOf(world, sha))).id;
  for (const name of ["superseded", "superseding", "nightly", "services", "error", "cancelled"]) {
    await once(world, ids[name] ?? 0, `(${name}) is over`, (now) => now.jobs.every(ended));
  }
  ids.waiting = await start(world, "Render");
  ids.running = await start(world, "Soak");
  await once(world, ids.running, "runs", ({ status }) => status === "pending");
  const { id } = jobOf(await build(world, ids.failure), "Tests");
  furnished.test = (await world.api(`/jobs/${id}/tests`)).tests[0].id;
  /** @type {Record<string, Build>} */
  const builds = {};
  for (const [name, id] of Object.entries(ids)) builds[name] = await build(world, id);
  furnished.keep(builds);
}
