// Search on the server: matches are listed, stepped through, and marked in the rows that
// are drawn.

import { around, control } from "../dom.js";
import { tell, words } from "../words.js";
import { ask, isAborted, told } from "./lines.js";

/** Milliseconds after the last key before the search begins. */
const PAUSE = 250;
/** Milliseconds that a search goes on by itself, once something was found. */
const LONGEST = 10_000;
/** Matches that the list holds; stepping goes on beyond them. */
const LISTED = 300;
/** Characters of a line in which matches are marked. */
const MARKED = 5000;

/** @typedef {{ n: number, text: string, at: [number, number] }} Match a line, and where it matches */

export class Search {
  /** @type {Match[]} */
  #matches = [];
  /**
   * The line to search on from.
   * @type {number | undefined}
   */
  #next = undefined;
  #at = -1;
  /** @type {AbortController | undefined} */
  #abort = undefined;
  /** @type {number | undefined} */
  #timer = undefined;
  /** What the matches are of. */
  #sought = "";

  /**
   * `rows` holds the lines that are drawn; `show(n)` brings one onto the screen, `here()` gives
   * the first one that is there.
   * @param {{
   *   form: HTMLFormElement,
   *   list: HTMLElement,
   *   said: HTMLElement,
   *   rows: HTMLElement,
   *   url: string,
   *   show: (n: number) => void,
   *   here: () => number,
   * }} of
   */
  constructor({ form, list, said, rows, url, show, here }) {
    this.form = form;
    this.list = list;
    this.said = said;
    this.rows = rows;
    this.url = url;
    this.show = show;
    this.here = here;
    this.text = control(form, "q", HTMLInputElement);
    this.regex = control(form, "regex", HTMLInputElement);
    this.match = control(form, "match", HTMLInputElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.step(event.submitter?.getAttribute("value") === "previous" ? -1 : 1);
    });
    form.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.begin(), PAUSE);
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.clear();
      else if (event.key === "Enter" && event.shiftKey) {
        event.preventDefault();
        this.step(-1);
      }
    });
    list.addEventListener("click", (event) => {
      const button = around(event, "button", HTMLButtonElement);
      if (!button) return;
      if (button.dataset.more) this.#more().then(() => this.#draw());
      else this.#goTo(Number(button.dataset.at));
    });
  }

  get query() {
    return { q: this.text.value, regex: this.regex.checked, match: this.match.checked };
  }

  clear() {
    this.text.value = "";
    this.begin();
    this.text.blur();
  }

  focus() {
    this.text.focus();
    this.text.select();
  }

  async begin() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#matches = [];
    this.#next = this.text.value ? 1 : undefined;
    this.#at = -1;
    const sought = (this.#sought = JSON.stringify(this.query));
    this.#say(this.text.value ? words("searching") : "");
    this.#draw();
    this.mark();
    // The server answers in portions.
    const end = performance.now() + LONGEST;
    const isOn = () => this.#matches.length < LISTED && (performance.now() < end || !this.#matches.length);
    while (this.#next && isOn() && this.#sought === sought) {
      await this.#more();
      if (this.#sought !== sought) return;
      this.#draw();
      this.mark();
    }
    tell(this.said.textContent ?? "");
  }

  /**
   * To the next match, or with -1 to the one before; around the ends.
   * @param {number} by
   */
  async step(by) {
    if (!this.text.value) return this.focus();
    if (this.#sought !== JSON.stringify(this.query)) await this.begin();
    if (this.#at < 0) {
      const from = this.here();
      while (this.#next && this.#last < from) await this.#more();
      const first = this.#matches.findIndex((match) => match.n >= from);
      const at = by > 0 ? first : (first < 0 ? this.#matches.length : first) - 1;
      return this.#goTo(at < 0 ? 0 : at);
    }
    if (this.#at + by >= this.#matches.length && this.#next) await this.#more();
    const count = this.#matches.length;
    if (count) this.#goTo((this.#at + by + count) % count);
  }

  /** Marks the matches in the rows that are drawn. */
  mark() {
    if (!globalThis.Highlight || !CSS.highlights) return;
    /** @type {Range[]} */
    const ranges = [];
    const { q, regex, match } = this.query;
    // What a regular expression matches, the server tells: this browser might take for ever.
    const texts = regex && new Map(this.#matches.map(({ n, text, at }) => [n, [...text].slice(...at).join("")]));
    for (const line of q ? this.rows.querySelectorAll(".l") : []) {
      const text = texts ? texts.get(Number(line.id.slice(1))) : q;
      if (text && line.lastElementChild) mark(line.lastElementChild, pattern(text, regex || match), ranges);
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  get #last() {
    return this.#matches.at(-1)?.n ?? 0;
  }

  async #more() {
    const { q, regex, match } = this.query;
    const abort = (this.#abort = new AbortController());
    const query = new URLSearchParams({ q, from: String(this.#next) });
    if (regex) query.set("regex", "1");
    if (match) query.set("case", "1");
    try {
      /** @type {{ matches: Match[], next?: number | null }} */
      const answer = await ask(`${this.url}?${query}`, abort.signal);
      if (abort !== this.#abort) return;
      this.#matches.push(...answer.matches);
      this.#next = answer.next ?? undefined;
    } catch (error) {
      if (abort !== this.#abort) return;
      this.#next = undefined;
      if (!isAborted(error)) this.#say(told(error), true);
    }
  }

  /** @param {number} at */
  #goTo(at) {
    const match = this.#matches[at];
    if (!match) return;
    this.#at = at;
    this.#draw();
    tell(this.said.textContent ?? "");
    this.show(match.n);
  }

  /** @param {string} text */
  #say(text, isTrouble = false) {
    this.said.textContent = text;
    this.said.classList.toggle("wrong", isTrouble);
    this.text.setAttribute("aria-invalid", String(isTrouble));
  }

  #draw() {
    const count = this.#matches.length;
    const isMore = this.#next !== undefined;
    if (this.text.value && !this.said.classList.contains("wrong")) {
      if (!count) this.#say(words(isMore ? "searching" : "no-match"));
      else if (this.#at < 0) this.#say(words(isMore ? "lines-at-least" : "lines", { count }));
      else this.#say(words(isMore ? "match-at-least" : "match", { at: this.#at + 1, count }));
    }
    if (!this.text.value || count) this.said.classList.remove("wrong");
    const listed = this.#matches.slice(0, LISTED).map((match, at) => this.#item(match, at));
    if (this.#next || count > LISTED) {
      const rest = document.createElement("li");
      if (this.#next && count < LISTED) {
        const more = document.createElement("button");
        more.type = "button";
        more.dataset.more = "1";
        more.textContent = words("search-on");
        rest.append(more);
      } else {
        rest.textContent = words("more-matches");
      }
      listed.push(rest);
    }
    this.list.replaceChildren(...listed);
    this.list.hidden = !count;
    this.list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {Match} match
   * @param {number} at
   */
  #item({ n, text, at: [start, end] }, at) {
    const letters = [...text];
    const found = document.createElement("mark");
    found.textContent = letters.slice(start, end).join("");
    const line = document.createElement("span");
    line.append(letters.slice(0, start).join(""), found, letters.slice(end).join(""));
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.at = String(at);
    button.dataset.n = String(n);
    button.setAttribute("aria-label", words("line-with", { n, text }));
    if (at === this.#at) button.setAttribute("aria-current", "true");
    button.append(line);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }
}

/**
 * An expression for a text as it is.
 * @param {string} text
 * @param {boolean} matchCase
 */
function pattern(text, matchCase) {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"), matchCase ? "gu" : "giu");
}

/**
 * Ranges of an element's text that match.
 * @param {Element} element
 * @param {RegExp} pattern
 * @param {Range[]} ranges
 */
function mark(element, pattern, ranges) {
  const text = (element.textContent ?? "").slice(0, MARKED);
  for (const found of text.matchAll(pattern)) {
    if (ranges.length > 5000) break;
    const range = document.createRange();
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    let at = 0;
    let isOpen = false;
    for (let node = walker.nextNode(); node instanceof Text; node = walker.nextNode()) {
      const end = at + node.length;
      if (!isOpen && found.index < end) {
        range.setStart(node, found.index - at);
        isOpen = true;
      }
      if (isOpen && found.index + found[0].length <= end) {
        range.setEnd(node, found.index + found[0].length - at);
        ranges.push(range);
        break;
      }
      at = end;
    }
  }
}
