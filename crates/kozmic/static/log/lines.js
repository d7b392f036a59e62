// The lines that are at hand: blocks of them, fetched when they are wanted, a bounded
// number kept. Knows how many lines there are, and nothing of how they are shown.

import { words } from "../words.js";

/** Lines of a block; they are fetched and forgotten together. */
const BLOCK = 250;
/** Blocks that are kept at the most. */
const KEPT = 40;
/** Lines that are asked for at once; the server gives no more. */
const MOST = 1000;
/** Lines before and after the wanted ones that come with them. */
const AHEAD = 150;
/** Milliseconds between two requests for times alone. */
const TIMES = 1000;
/** Milliseconds before a request that failed is sent again, the first time. */
const AGAIN = 2000;

/**
 * Milliseconds before the next attempt.
 * @param {number} failures before the last one
 */
export const pauseAfter = (failures) => AGAIN * 2 ** Math.min(failures, 4);

/**
 * A line; `at` is when it was written, in milliseconds since 1970: `null` where nobody knows,
 * none where it was not asked for yet.
 * @typedef {{ n: number, at?: number | null, html: string }} Row
 * @typedef {{ lines: Row[], total: number, start?: number | null }} Answer
 */

export class Lines extends EventTarget {
  /** @type {Map<number, Row[]>} */
  #blocks = new Map();
  /** @type {Map<number, { end: number, abort: AbortController }>} */
  #pending = new Map();
  /**
   * Blocks that are not forgotten.
   * @type {Set<number>}
   */
  #wanted = new Set();
  #timesAt = 0;
  #retry = 0;

  /**
   * @param {string} url
   * @param {number} total
   * @param {boolean} isFinished
   */
  constructor(url, total, isFinished) {
    super();
    this.url = url;
    /** Complete lines so far; those of an unfinished one are not counted. */
    this.total = total;
    this.isFinished = isFinished;
    /**
     * Milliseconds since 1970 at which the job began.
     * @type {number | undefined}
     */
    this.start = undefined;
    /**
     * The line under way.
     * @type {Row | undefined}
     */
    this.partial = undefined;
  }

  /** Lines that are shown. */
  get count() {
    return this.total + (this.partial?.n === this.total + 1 ? 1 : 0);
  }

  /**
   * None while it is not here.
   * @param {number} n
   * @returns {Row | undefined}
   */
  get(n) {
    if (this.partial?.n === n && n > this.total) return this.partial;
    return this.#blocks.get(blockOf(n))?.[(n - 1) % BLOCK];
  }

  /**
   * Takes in lines that came with the page or from elsewhere.
   * @param {Row[]} rows
   */
  put(rows) {
    for (const row of rows) {
      const block = blockOf(row.n);
      const kept = this.#blocks.get(block) ?? [];
      // The one used last stands last.
      this.#blocks.delete(block);
      this.#blocks.set(block, kept);
      kept[(row.n - 1) % BLOCK] = row;
    }
    for (const block of this.#blocks.keys()) {
      if (this.#blocks.size <= KEPT) break;
      if (!this.#wanted.has(block)) this.#blocks.delete(block);
    }
  }

  /**
   * The log has grown; `rows` are its new lines, or none of them.
   * @param {number} total
   * @param {Row[]} rows
   */
  grow(total, rows = []) {
    if (this.partial && this.partial.n <= total) this.partial = undefined;
    this.total = Math.max(this.total, total);
    this.put(rows);
    this.dispatchEvent(new Event("grown"));
  }

  /** Learns how many lines there are by now. */
  async refresh() {
    /** @type {Answer} */
    const answer = await ask(`${this.url}?count=0`);
    this.start ??= answer.start ?? undefined;
    if (answer.total > this.total) this.grow(answer.total);
  }

  finish() {
    this.isFinished = true;
    this.partial = undefined;
    this.dispatchEvent(new Event("grown"));
  }

  /**
   * @param {number} n
   * @param {string} html
   */
  setPartial(n, html) {
    if (n !== this.total + 1) return;
    this.partial = { n, html };
    this.dispatchEvent(new Event("grown"));
  }

  /**
   * Fetches what is missing of these lines, which are in order, and what is near them. What
   * was wanted before and is not any more is not waited for. With `times`, lines whose time
   * is not known are missing.
   * @param {number[]} numbers
   */
  want(numbers, times = false) {
    this.#wanted = new Set(numbers.map(blockOf));
    const [first, last] = [numbers[0] ?? 1, numbers.at(-1) ?? 0];
    for (const [start, { end, abort }] of this.#pending) {
      if (end < first || start > last) abort.abort();
    }
    let done = 0;
    for (const [at, n] of numbers.entries()) {
      if (n <= done || n > this.total) continue;
      const pending = [...this.#pending].find(([start, { end }]) => start <= n && n <= end);
      if (pending) {
        done = pending[1].end;
        continue;
      }
      const row = this.get(n);
      if (row && !(times && row.at === undefined && this.#mayAskForTimes())) continue;
      /** @param {number} n */
      const isMissing = (n) => {
        const row = this.get(n);
        return !row || (times && row.at === undefined);
      };
      let [start, end, run] = [n, n, at];
      while (numbers[run + 1] === numbers[run] + 1) run++;
      while (start > 1 && start > n - AHEAD && isMissing(start - 1)) start--;
      const farthest = Math.min(numbers[run] + AHEAD, start + MOST - 1, this.total);
      while (end < farthest && isMissing(end + 1)) end++;
      this.#fetch(start, end);
      done = end;
    }
  }

  /** Lines that came live have none; they are asked for from time to time. */
  #mayAskForTimes() {
    if (performance.now() < this.#timesAt) return false;
    this.#timesAt = performance.now() + TIMES;
    setTimeout(() => this.dispatchEvent(new Event("came")), TIMES);
    return true;
  }

  /**
   * @param {number} from
   * @param {number} end
   */
  async #fetch(from, end) {
    const abort = new AbortController();
    this.#pending.set(from, { end, abort });
    let isMore = false;
    try {
      /** @type {Answer} */
      const answer = await ask(`${this.url}?from=${from}&count=${end - from + 1}`, abort.signal);
      this.put(answer.lines);
      this.total = Math.max(this.total, answer.total);
      this.start ??= answer.start ?? undefined;
      // Long lines come in smaller portions.
      isMore = answer.lines.length > 0;
      this.#retry = 0;
      this.dispatchEvent(new CustomEvent("trouble", { detail: "" }));
    } catch (error) {
      if (isAborted(error)) return;
      this.dispatchEvent(new CustomEvent("trouble", { detail: told(error) }));
      setTimeout(() => this.dispatchEvent(new Event("came")), pauseAfter(this.#retry++));
    } finally {
      if (this.#pending.get(from)?.abort === abort) this.#pending.delete(from);
    }
    if (isMore) this.dispatchEvent(new Event("came"));
  }
}

/** @param {number} n */
function blockOf(n) {
  return Math.floor((n - 1) / BLOCK);
}

/** @param {unknown} error */
export const isAborted = (error) => error instanceof DOMException && error.name === "AbortError";

/** @param {unknown} error */
export const told = (error) => (error instanceof Error ? error.message : String(error));

/**
 * Asks the server; an error says in words what is wrong.
 * @param {string} url
 * @param {AbortSignal} [signal]
 */
export async function ask(url, signal) {
  let answer;
  try {
    answer = await fetch(url, { signal, headers: { accept: "application/json" } });
  } catch (error) {
    if (isAborted(error)) throw error;
    throw new Error(words("unreachable"));
  }
  if (answer.redirected) throw new Error(words("signed-out"));
  const isJson = /json/.test(answer.headers.get("content-type") ?? "");
  const content = isJson ? await answer.json() : undefined;
  if (answer.ok && content) return content;
  throw new Error(content?.detail ?? words("answered", { status: String(answer.status) }));
}

/**
 * The text of some lines, as it is shown.
 * @param {string} url
 * @param {number} from
 * @param {number} to
 */
export async function textOf(url, from, to) {
  const element = document.createElement("template");
  const text = [];
  for (let next = from; next <= to; ) {
    /** @type {Answer} */
    const answer = await ask(`${url}lines/?from=${next}&count=${Math.min(1000, to - next + 1)}`);
    if (!answer.lines.length) break;
    for (const { n, html } of answer.lines) {
      element.innerHTML = html;
      text.push(element.content.textContent);
      next = n + 1;
    }
  }
  return text.join("\n") + "\n";
}
