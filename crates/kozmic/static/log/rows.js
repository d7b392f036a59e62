// One line of the log as an element. Numbers and times are drawn by the style sheet, so
// that they are not copied with the text.

import { parts } from "../dom.js";
import { words } from "../words.js";

/** @typedef {import("./lines.js").Row} Row */

const TIMES = ["off", "clock", "since", "delta"];
/** What makes a line the beginning of a section, or its end. */
const MARKER = /^(?:==> |::group::|##\[group\]|::endgroup::|##\[endgroup\])/;

export class Rows {
  /** One of `TIMES`. */
  times = "off";
  /**
   * The lines that the address names.
   * @type {import("./link.js").Chosen | undefined}
   */
  chosen = undefined;

  /**
   * @param {import("./lines.js").Lines} lines
   * @param {import("./folds.js").Folds} folds
   */
  constructor(lines, folds) {
    this.lines = lines;
    this.folds = folds;
  }

  nextTimes() {
    this.times = TIMES[(TIMES.indexOf(this.times) + 1) % TIMES.length] ?? "off";
  }

  /**
   * What the element of a line is made of; where it is the same the element may stay.
   * @param {number} n
   */
  key(n) {
    const row = this.lines.get(n);
    const section = this.folds.sections.get(n);
    const fold = section ? `${this.folds.isFolded(n)} ${section.last}` : "";
    return { row, text: `${this.#time(n, row)}|${this.isChosen(n)}|${fold}` };
  }

  /** @param {number} n */
  isChosen(n) {
    return this.chosen !== undefined && this.chosen[0] <= n && n <= this.chosen[1];
  }

  /** @param {number} n */
  element(n) {
    const row = this.lines.get(n);
    const line = document.createElement("div");
    line.className = "l";
    line.id = `L${n}`;
    if (this.isChosen(n)) line.classList.add("chosen");
    if (!row) line.classList.add("missing");
    const number = document.createElement("a");
    number.href = `#L${n}`;
    number.dataset.n = String(n);
    number.setAttribute("aria-label", words("line", { n }));
    line.append(number);
    if (this.times !== "off") {
      const time = document.createElement("i");
      time.dataset.t = this.#time(n, row);
      if (row?.at) time.title = new Date(row.at).toISOString();
      line.append(time);
    }
    const section = this.folds.sections.get(n);
    if (section && section.last > n) line.append(this.#fold(section, line));
    const text = document.createElement("span");
    if (row) {
      // Escaped by the server's renderer, which writes no elements but its own.
      text.innerHTML = row.html;
      if (row.html.includes(" data-")) exactColours(text);
      setMarkerApart(text);
    }
    line.append(text);
    return line;
  }

  /**
   * @param {import("./folds.js").Section} section
   * @param {HTMLElement} line
   */
  #fold(section, line) {
    const isFolded = this.folds.isFolded(section.first);
    const count = section.last - section.first;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "fold";
    button.dataset.fold = String(section.first);
    if (isFolded) line.dataset.hidden = words("lines", { count });
    const title = section.title || words("section");
    const named = words("section-with", { title, lines: words("lines", { count }) });
    button.setAttribute("aria-expanded", String(!isFolded));
    button.setAttribute("aria-label", named);
    line.classList.add("head");
    return button;
  }

  /**
   * What stands in the column of times.
   * @param {number} n
   * @param {Row} [row]
   */
  #time(n, row) {
    if (this.times === "off" || !row?.at) return "";
    if (this.times === "clock") return clock(row.at);
    if (this.times === "since") return this.lines.start ? span(row.at - this.lines.start) : "";
    const before = this.lines.get(n - 1)?.at;
    return n === 1 ? "+0.000" : before ? `+${(Math.max(0, row.at - before) / 1000).toFixed(3)}` : "";
  }
}

/** @param {HTMLElement} text */
function setMarkerApart(text) {
  const first = text.firstChild;
  if (!(first instanceof Text)) return;
  const [found] = MARKER.exec(first.data) ?? [];
  if (!found) return;
  const marker = document.createElement("span");
  marker.className = "marker";
  first.splitText(found.length);
  marker.append(first);
  text.prepend(marker);
}

/**
 * The page allows no inline styles; the script may set them.
 * @param {HTMLElement} element
 */
export function exactColours(element) {
  for (const coloured of parts("[data-f], [data-b]", HTMLElement, element)) {
    const { f, b } = coloured.dataset;
    if (f) coloured.style.color = `#${f}`;
    if (b) coloured.style.backgroundColor = `#${b}`;
  }
}

/** @param {number} at */
function clock(at) {
  const time = new Date(at);
  /** @param {number} number */
  const two = (number) => String(number).padStart(2, "0");
  const parts = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  return `${parts}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** @param {number} milliseconds */
function span(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  const minutes = Math.floor(seconds / 60);
  const rest = (seconds - minutes * 60).toFixed(3).padStart(6, "0");
  return `${String(minutes).padStart(2, "0")}:${rest}`;
}
