// What is not ours is as it was published.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const OURS = new URL("../crates/kozmic/static/xterm/", import.meta.url);
const THEIRS = new URL("./node_modules/@xterm/xterm/", import.meta.url);

test("xterm.js is the package's, whose version is locked", async () => {
  const [{ packages }, { version, license }] = await Promise.all(
    [new URL("./package-lock.json", import.meta.url), new URL("package.json", THEIRS)].map(async (file) =>
      JSON.parse(await readFile(file, "utf8")),
    ),
  );
  assert.equal(version, packages["node_modules/@xterm/xterm"].version);
  assert.equal(license, "MIT");
  for (const path of ["lib/xterm.mjs", "css/xterm.css", "LICENSE"]) {
    const [ours, theirs] = await Promise.all([
      readFile(new URL(path.slice(path.lastIndexOf("/") + 1), OURS)),
      readFile(new URL(path, THEIRS)),
    ]);
    assert.ok(ours.equals(theirs), `${path} differs from the package's`);
  }
});
