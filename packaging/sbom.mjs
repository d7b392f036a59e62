// Makes of what cargo-cyclonedx has found what is true of the program: `scripts/sbom` calls it with
// that file and the target. Cargo's metadata names crates that only a feature would bring which
// nobody asks for (ring, sqlx-mysql), so what stays is what `cargo tree` has. Besides crates, the
// program has Rust's own library and the JavaScript of others that pages load. Fails where a crate
// of the tree is missing.

import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";

const [file = "", target = ""] = process.argv.slice(2);
/** @type {{ components: Component[], dependencies: Dependency[], metadata: { component: Component } }} */
const bom = JSON.parse(await readFile(file, "utf8"));

/**
 * @typedef {{ "bom-ref": string, name: string, version: string, type: string, scope?: string, purl?: string,
 *   licenses?: unknown[], components?: Component[], description?: string }} Component
 * @typedef {{ ref: string, dependsOn?: string[] }} Dependency
 */

/** @param {{ name: string, version: string }} crate */
const key = ({ name, version }) => `${name} ${version}`;

const tree = execFileSync("cargo", [
  "tree", "--locked", "--package", "kozmic", "--edges", "normal", "--target", target, "--prefix", "none", "--format", "{p}",
], { encoding: "utf8", maxBuffer: 1 << 26 });
const program = bom.metadata.component;
const wanted = new Set(tree.split("\n").filter(Boolean).map((line) => line.split(" ").slice(0, 2).join(" ").replace(" v", " ")));
wanted.delete(key(program));

bom.components = bom.components.filter((component) => wanted.has(key(component)));
const missing = [...wanted].filter((crate) => !bom.components.some((component) => key(component) === crate));
if (missing.length) throw new Error(`cargo tree has what is not listed: ${missing.join(", ")}`);

// Where this clone lies is no part of it, and a library of the same package no other thing.
const path = program["bom-ref"];
program["bom-ref"] = program.purl = `pkg:cargo/${program.name}@${program.version}`;
delete program.components;

const refs = new Set([path, ...bom.components.map((component) => component["bom-ref"])]);
bom.dependencies = bom.dependencies.filter(({ ref }) => refs.has(ref)).map(({ ref, dependsOn }) => ({
  ref: ref === path ? program["bom-ref"] : ref,
  ...(dependsOn && { dependsOn: dependsOn.filter((one) => refs.has(one)) }),
}));

const rust = execFileSync("rustc", ["--version"], { encoding: "utf8" }).split(" ")[1] ?? "";
const { packages } = JSON.parse(await readFile("browser/package-lock.json", "utf8"));
const xterm = packages["node_modules/@xterm/xterm"];
/** @type {Component[]} */
const others = [
  {
    type: "library", name: "std", version: rust, description: "Rust's standard library", scope: "required",
    "bom-ref": `pkg:generic/rust-std@${rust}`, purl: `pkg:generic/rust-std@${rust}`,
    licenses: [{ expression: "MIT OR Apache-2.0" }],
  },
  {
    type: "library", name: "@xterm/xterm", version: xterm.version, description: "The terminal on the pages", scope: "required",
    "bom-ref": `pkg:npm/%40xterm/xterm@${xterm.version}`, purl: `pkg:npm/%40xterm/xterm@${xterm.version}`,
    licenses: [{ expression: xterm.license ?? "MIT" }],
  },
];
bom.components.push(...others);
for (const { ref, dependsOn } of bom.dependencies) {
  if (ref === program["bom-ref"]) dependsOn?.push(...others.map((other) => other["bom-ref"]));
}
console.log(JSON.stringify(bom, null, 1));
