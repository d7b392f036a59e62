// Which lines are hidden in folded sections. The lines that are not are counted from 0;
// such a position is what is drawn.

/** @typedef {{ title: string, first: number, last: number, depth: number }} Section */

export class Folds {
  /**
   * By the line of their marker.
   * @type {Map<number, Section>}
   */
  sections = new Map();
  /** @type {Set<number>} */
  #folded = new Set();
  /**
   * Hidden lines, disjoint and in order, `before` hidden ones earlier.
   * @type {{ from: number, to: number, before: number }[]}
   */
  #hidden = [];

  /** @param {Section[]} sections */
  set(sections) {
    this.sections = new Map(sections.map((section) => [section.first, section]));
    this.#count();
  }

  /** @param {number} first */
  isFolded(first) {
    return this.#folded.has(first);
  }

  /** @param {number} first */
  toggle(first) {
    if (!this.#folded.delete(first)) this.#folded.add(first);
    this.#count();
  }

  /** @param {boolean} isFolded */
  all(isFolded) {
    this.#folded = new Set(isFolded ? this.sections.keys() : []);
    this.#count();
  }

  get anyFolded() {
    return this.#folded.size > 0;
  }

  /**
   * Opens what hides a line; whether anything did.
   * @param {number} n
   */
  reveal(n) {
    if (!this.#isHidden(n)) return false;
    for (const first of this.#folded) {
      const section = this.sections.get(first);
      if (section && first < n && n <= section.last) this.#folded.delete(first);
    }
    this.#count();
    return true;
  }

  /** @param {number} total */
  count(total) {
    return this.indexOf(total + 1);
  }

  /**
   * The position of a line; of a hidden one, that of the next one that is not.
   * @param {number} n
   */
  indexOf(n) {
    const at = this.#lastFrom(n);
    if (at < 0) return n - 1;
    const { to, before, from } = this.#hidden[at];
    return n <= to ? from - 1 - before : n - 1 - before - (to - from + 1);
  }

  /** @param {number} index */
  lineAt(index) {
    let [low, high] = [0, this.#hidden.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#hidden[middle].from - 1 - this.#hidden[middle].before <= index) low = middle + 1;
      else high = middle;
    }
    const last = this.#hidden[low - 1];
    return index + 1 + (last ? last.before + last.to - last.from + 1 : 0);
  }

  /** @param {number} n */
  #isHidden(n) {
    const at = this.#lastFrom(n);
    return at >= 0 && n <= this.#hidden[at].to;
  }

  /**
   * The last range that begins at this line or before.
   * @param {number} n
   */
  #lastFrom(n) {
    let [low, high] = [0, this.#hidden.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#hidden[middle].from <= n) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #count() {
    this.#hidden = [];
    let before = 0;
    let end = 0;
    for (const first of [...this.#folded].sort((a, b) => a - b)) {
      const section = this.sections.get(first);
      if (!section || section.last <= first || section.last <= end) continue;
      const from = Math.max(first + 1, end + 1);
      this.#hidden.push({ from, to: section.last, before });
      before += section.last - from + 1;
      end = section.last;
    }
  }
}
