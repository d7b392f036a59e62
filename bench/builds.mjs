// What benches ask a server about builds.

/**
 * The newest build, if there is one. It alone: a long list would be what takes the time, or the
 * memory. After a pause the server may just have closed the connection that is used again; then it
 * is asked once more.
 * @param {import("../browser/world.mjs").World} world
 * @returns {Promise<import("../browser/world.mjs").Build & { started_at: string, finished_at: string } | undefined>}
 */
export async function newest(world) {
  const ask = () => world.api("/projects/1/builds?limit=1");
  const { builds } = await ask().catch((error) => {
    if (!(error instanceof TypeError)) throw error;
    return ask();
  });
  return builds[0];
}
