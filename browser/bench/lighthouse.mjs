// Measures pages with Lighthouse (`make bench`), on a server that is in use. LIGHTHOUSE is its
// program; it comes not with the tests' packages, which it would treble.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { furnish } from "../furnished.mjs";

const KINDS = ["performance", "accessibility", "best-practices"];
/** @type {[string, string | null][]} */
const PAGES = [["home", "/"], ["history", "/projects/1/history/"], ["build", null]];

const run = promisify(execFile);
const { LIGHTHOUSE = "", CHROMIUM = "" } = process.env;
const furnished = await furnish();
const { world } = furnished;
try {
  const { cookies } = await world.signIn(world.owner);
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
  for (const [name, path] of PAGES) {
    for (const preset of ["mobile", "desktop"]) {
      const report = join(world.folder, `${name}-${preset}.json`);
      const url = world.url + (path ?? `/projects/1/builds/${furnished.build("failure").id}/`);
      await run(process.execPath, [
        LIGHTHOUSE, url, "--quiet", "--output=json", `--output-path=${report}`,
        `--only-categories=${KINDS.join()}`, `--extra-headers=${JSON.stringify({ Cookie: cookie })}`,
        "--chrome-flags=--headless --no-sandbox", ...(preset === "desktop" ? ["--preset=desktop"] : []),
      ], { env: { ...process.env, CHROME_PATH: CHROMIUM }, maxBuffer: 1 << 26 });
      const { categories, audits } = JSON.parse(await readFile(report, "utf8"));
      const scores = KINDS.map((kind) => `${kind} ${Math.round(categories[kind].score * 100)}`);
      console.log(`${name}, ${preset}: ${scores.join(", ")}; largest paint ${audits["largest-contentful-paint"].displayValue}`);
      for (const kind of KINDS) {
        for (const { id, weight } of categories[kind].auditRefs) {
          const { score, title, displayValue, details } = audits[id];
          if (!weight || score === null || score >= 0.9) continue;
          console.log(`  ${kind}: ${title} ${displayValue ?? ""}`);
          for (const { node } of (details?.items ?? []).slice(0, 5)) if (node) console.log(`    ${node.selector}: ${node.snippet}`);
        }
      }
    }
  }
} finally {
  await world.end();
}
