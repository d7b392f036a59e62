// What people read is in the templates, so that a translation finds it: no script of a page has
// words of its own. What a program says to a program, names of keys, events and classes, is
// no text.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { parse } from "acorn";

const STATIC = fileURLToPath(new URL("../crates/kozmic/static", import.meta.url));

/** What browsers call keys, errors and events, in capitals. */
const NAMES = /^(Enter|Escape|Tab|Home|End|Backspace|Delete|Shift|Space|Page(Up|Down)|Arrow\w+|\w+Error)$/;
/** Where a literal is read by who mends the script. */
const PROGRAMMERS = "throw new Error(";

/**
 * Whether it reads like a text: it begins as a sentence does, or has words one after the other.
 * @param {string} literal
 */
function isText(literal) {
  const text = literal.trim();
  if (NAMES.test(text)) return false;
  const isSentence = /^[A-Z][a-z’']+([ ,.:…!?]|$)/.test(text);
  // Selectors, paths and lists of classes have signs that sentences have not.
  const isPhrase = /^\p{L}+( \p{L}+)+[.…!?]?$/u.test(text) || text.includes("…");
  return isSentence || isPhrase;
}

/**
 * The literals of a script that read like texts.
 * @param {string} source
 */
function texts(source) {
  /** @type {string[]} */
  const found = [];
  /** @param {any} node */
  const walk = (node) => {
    if (!node || typeof node !== "object") return;
    if (Array.isArray(node)) return node.forEach(walk);
    // Errors that are shown have their words from the page.
    if (source.slice(node.start, node.end).startsWith(PROGRAMMERS)) return;
    if (node.type === "ImportDeclaration" || node.type === "ExportNamedDeclaration") return walk(node.declaration);
    if (node.type === "BinaryExpression" && node.operator === "in") return walk(node.right);
    if (node.type === "Literal" && typeof node.value === "string" && isText(node.value)) found.push(node.value);
    if (node.type === "TemplateElement" && isText(node.value.cooked)) found.push(node.value.cooked);
    for (const key of Object.keys(node)) if (key !== "type") walk(node[key]);
  };
  walk(parse(source, { ecmaVersion: "latest", sourceType: "module" }));
  return found;
}

test("no script of a page has texts of its own", async () => {
  const names = (await readdir(STATIC, { recursive: true })).filter((name) => name.endsWith(".js"));
  assert.ok(names.length > 10, "these are the scripts");
  /** @type {Record<string, string[]>} */
  const found = {};
  for (const name of names) {
    const own = texts(await readFile(`${STATIC}/${name}`, "utf8"));
    if (own.length) found[name] = own;
  }
  assert.deepEqual(found, {}, "move them to a template; see static/words.js");
});

test("a text is known by what it looks like", () => {
  for (const text of ["Searching…", "No match", "Section", "lines are copied", "You are signed out; load it."]) {
    assert.deepEqual(texts(`say(${JSON.stringify(text)})`), [text]);
  }
  assert.deepEqual(texts("say(`${count} lines are copied.`)"), [" lines are copied."]);
  for (const other of ["Escape", "AbortError", "main [data-row]", "kozmic.keys", "aria-label", "l", "/?q=", "input:not([type=checkbox]), select"]) {
    assert.deepEqual(texts(`take(${JSON.stringify(other)})`), []);
  }
  assert.deepEqual(texts('throw new Error("no such part");'), []);
});

/**
 * What the pattern's group finds in all of them.
 * @param {string[]} files
 * @param {RegExp} pattern
 */
const all = (files, pattern) => [...files.join("\n").matchAll(pattern)].map(([, name = ""]) => name);

test("each word that a script names is in a template, and in use", async () => {
  const names = (await readdir(STATIC, { recursive: true })).filter((name) => name.endsWith(".js"));
  const sources = await Promise.all(names.map((name) => readFile(`${STATIC}/${name}`, "utf8")));
  const folder = `${STATIC}/../templates`;
  const templates = await Promise.all((await readdir(folder)).map((name) => readFile(`${folder}/${name}`, "utf8")));
  const written = new Set(all(templates, /data-word="([\w-]+)"/g));
  const literals = new Set(all(sources, /"([a-z][\w-]*)"/g));
  const asked = all(sources, /\bwords\("([\w-]+)"/g);
  assert.deepEqual(asked.filter((name) => !written.has(name)), [], "asked for, and not written");
  assert.deepEqual([...written].filter((name) => !literals.has(name)), [], "written, and not asked for");
});
