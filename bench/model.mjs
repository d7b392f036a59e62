// The model of bench/capacity.md: what an installation can do in a day, by what each part of it
// was measured to do.

const DAY = 86_400;
/** Of each token, by GitHub's documentation ("Rate limits for the REST API"). */
const CALLS_AN_HOUR = 5_000;

/**
 * What people choose, and what their builds are like. Times are in seconds, of one job.
 * @typedef {{ workers: number, concurrency: number, cores: number, jobs: number, script: number,
 *   busy: number, deliveries: number, log: number, tokens: number, peak: number }} Shape
 *
 * What was measured: what a job takes beside its script, in seconds in all and on processors; jobs
 * and webhooks a second that the database takes; megabytes of log a second of one worker; calls of
 * GitHub's API that count, for a build of so many jobs.
 * @typedef {{ overhead: number, processor: number, queue: number, webhooks: number, log: number }} Measured
 *
 * @typedef {{ part: string, builds: number, more: string }} Part
 */

/** @type {Shape} */
export const USUAL = {
  workers: 10, concurrency: 4, cores: 8, jobs: 2, script: 300, busy: 300, deliveries: 1, log: 1, tokens: 10, peak: 5,
};

/**
 * Jobs a second of one worker with all its places taken. A job is at the processors for a part of
 * its time, where it may have to wait for those of the other places, and elsewhere for the rest.
 * How many are there is the machine repairman problem (L. Kleinrock, "Queueing Systems", volume 1,
 * 3.8 and 3.9): `weight` is how probable it is that `at` jobs are, relative to none.
 * @param {{ script: number, busy: number, concurrency: number, cores: number }} asked
 * @param {Pick<Measured, "overhead" | "processor">} measured
 */
export function perSecond({ script, busy, concurrency, cores }, { overhead, processor }) {
  const onProcessors = busy + processor;
  const elsewhere = script + overhead - onProcessors;
  // Its parts run beside one another: it is limited by the one or the other.
  if (elsewhere <= 0) return Math.min(concurrency / (script + overhead), cores / onProcessors);
  let weight = 1;
  let weights = 1;
  let ends = 0;
  for (let at = 1; at <= concurrency; at++) {
    const rate = Math.min(at, cores) / onProcessors;
    weight *= (concurrency - at + 1) / elsewhere / rate;
    weights += weight;
    ends += weight * rate;
  }
  return ends / weights;
}

/**
 * Statuses that GitHub is sent for a build: pending and the end, of each job and of the build. That
 * the repository is still the same is asked before each, and mostly answered by 304, which is free.
 * @param {number} jobs
 */
export const calls = (jobs) => 2 * (jobs + 1);

/**
 * Builds a day that each part can do, the tightest first.
 * @param {Shape} shape
 * @param {Measured} measured
 * @returns {Part[]}
 */
export function parts(shape, measured) {
  const { workers, concurrency, cores, jobs, script, busy, deliveries, log, tokens } = shape;
  const each = (/** @type {number} */ inASecond) => inASecond * DAY;
  return [
    { part: "workers' places", builds: each((workers * concurrency) / (jobs * (script + measured.overhead))), more: "a greater KOZMIC_CONCURRENCY, as far as processors go" },
    { part: "workers' processors", builds: each((workers * cores) / (jobs * (busy + measured.processor))), more: "more processors, or less at once" },
    { part: "workers, both together", builds: each((workers * perSecond(shape, measured)) / jobs), more: "more workers" },
    { part: "the queue", builds: each(measured.queue / jobs), more: "a faster disk for the database" },
    { part: "webhooks", builds: each(measured.webhooks / deliveries), more: "a faster disk for the database, then more web processes" },
    { part: "logs", builds: each((workers * measured.log) / (jobs * log)), more: "more workers" },
    { part: "GitHub's limit", builds: (tokens * CALLS_AN_HOUR * 24) / calls(jobs), more: "projects of more owners: each has a token, and 5,000 calls an hour" },
  ].sort((a, b) => a.builds - b.builds);
}

/**
 * What so many builds a day need, with the shape's peaks for people not to wait in.
 * @param {number} builds
 * @param {Shape} shape
 * @param {Measured} measured
 */
export function needed(builds, shape, measured) {
  const peak = (builds / DAY) * shape.peak;
  const { jobs, script, deliveries, log } = shape;
  const places = Math.ceil(peak * jobs * (script + measured.overhead));
  return {
    mean: builds / DAY, peak, places, workers: Math.ceil((peak * jobs) / perSecond(shape, measured)),
    claims: peak * jobs, webhooks: peak * deliveries, logs: peak * jobs * log,
    // GitHub counts by the hour; a peak may be that long.
    tokens: Math.ceil((peak * 3_600 * calls(jobs)) / CALLS_AN_HOUR),
  };
}

/**
 * What of the figures the model needs.
 * @param {import("./figures.mjs").Figure[]} figures
 * @param {string} database as the settings of the figures begin
 * @returns {Measured}
 */
export function measuredIn(figures, database) {
  /** @param {string} bench @param {string} what */
  const median = (bench, what) => {
    const is = figures.find((figure) =>
      figure.bench === bench && figure.what.startsWith(what) && (figure.settings ?? database).startsWith(database));
    if (!is) throw new Error(`there is no figure "${what}" of ${bench} (${database}): scripts/bench --bench ${bench}`);
    return is.kozmic.median;
  };
  return {
    overhead: median("capacity", "a job beside its script") / 1000,
    processor: median("capacity", "a job on processors") / 1000,
    queue: median("queue", "jobs claimed and finished"),
    webhooks: median("webhooks", "webhooks taken"),
    log: 101 / (median("log_throughput", "a push to the end of a job of 1,000,000 lines") / 1000),
  };
}
