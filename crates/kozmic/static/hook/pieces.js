// Scripts in pieces, so that their comments, strings, variables and words of the language
// can be told apart. A guess is enough: what runs a script knows it better.

/** @typedef {"" | "comment" | "string" | "variable" | "word"} Kind */
/** @typedef {[kind: Kind, text: string]} Piece */
/** @typedef {{ patterns: [kind: Kind, pattern: RegExp][], hasDocuments?: boolean }} Language */

const SHELL_WORDS =
  /(?<![\w./-])(?:if|then|elif|else|fi|for|while|until|do|done|case|esac|in|select|function|time|coproc|local|export|readonly|declare|typeset|return|exit|break|continue|set|unset|shift|source|trap|eval|exec)(?![\w./=-])/y;
const PYTHON_WORDS =
  /(?<![\w./-])(?:and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield|None|True|False|match|case)(?![\w./=-])/y;

/** A here-document's first line. */
const DOCUMENT = /<<-?[ \t]*(["']?)([A-Za-z_]\w*)\1[^\n]*\n/y;

/** The first pattern that fits is taken. @type {Language["patterns"]} */
const SHELL = [
  ["comment", /(?<=^|[\s;&|()])#[^\n]*/y],
  ["variable", /\$(?:\w+|\{[^}\n]*\}|[@*#?$!-])/y],
  ["variable", /(?<=^|[\s;&|(])[A-Za-z_]\w*(?=\+?=)/y],
  ["string", /\$?'[^']*'?/y],
  ["string", /"(?:[^"\\]|\\[\s\S])*"?/y],
  ["word", SHELL_WORDS],
  ["", /\\[\s\S]|[\w./-]+|\s+/y],
];

/** @type {Language["patterns"]} */
const PYTHON = [
  ["comment", /#[^\n]*/y],
  ["string", /[bfrBFR]{0,2}(?:"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$))/y],
  ["string", /[bfrBFR]{0,2}(?:"(?:[^"\\\n]|\\[\s\S])*"?|'(?:[^'\\\n]|\\[\s\S])*'?)/y],
  ["variable", /@[\w.]+/y],
  ["word", PYTHON_WORDS],
  ["", /[\w.]+|\s+/y],
];

/**
 * That of a script, by its first line; undefined: none that is known.
 * @param {string} text
 * @returns {Language | undefined}
 */
export function languageOf(text) {
  const first = /^#![^\n]*/.exec(text)?.[0];
  if (!first || /[/ ](?:ba|da|z|k|a)?sh\b/.test(first)) return { patterns: SHELL, hasDocuments: true };
  return /[/ ]python[\d.]*\b/.test(first) ? { patterns: PYTHON } : undefined;
}

/**
 * What begins there: the first pattern that fits, else one letter.
 * @param {string} text
 * @param {number} at
 * @param {Language} language
 * @returns {Piece}
 */
function first(text, at, { patterns }) {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found) return [kind, found];
  }
  return ["", text.charAt(at)];
}

/**
 * All of the text, in order.
 * @param {string} text
 * @param {Language} language
 * @returns {Piece[]}
 */
export function pieces(text, language) {
  /** @type {Piece[]} */
  const found = [];
  /** @param {Kind} kind @param {string} part */
  const add = (kind, part) => {
    const last = found.at(-1);
    if (last && last[0] === kind) last[1] += part;
    else found.push([kind, part]);
  };
  /** Words that no line after this one is. @type {Set<string>} */
  const open = new Set();
  /** Where a here-document ends that begins here. @param {number} at */
  const documentEnd = (at) => {
    if (!language.hasDocuments || !text.startsWith("<<", at)) return undefined;
    DOCUMENT.lastIndex = at;
    const [head = "", , word = ""] = DOCUMENT.exec(text) ?? [];
    if (!word || open.has(word)) return undefined;
    // Its text ends with a line that is the word at its beginning.
    const last = new RegExp(`^[ \\t]*${word}$`, "gm");
    last.lastIndex = at + head.length;
    const end = last.exec(text);
    if (!end) open.add(word);
    return end ? end.index + end[0].length : undefined;
  };
  let at = 0;
  while (at < text.length) {
    const end = documentEnd(at);
    if (end !== undefined) {
      add("string", text.slice(at, end));
      at = end;
      continue;
    }
    const [kind, part] = first(text, at, language);
    add(kind, part);
    at += part.length;
  }
  return found;
}
