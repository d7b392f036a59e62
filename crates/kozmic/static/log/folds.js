// Which lines are hidden in folded sections. The lines that are not are counted from 0;
// such a position is what is drawn.

export class Folds {
  /** By the line of their marker: `{ title, first, last, depth }`. */
  sections = new Map();
  #folded = new Set();
  /** Hidden lines, disjoint and in order: `{ from, to, before }`, `before` hidden ones earlier. */
  #hidden = [];

  set(sections) {
    this.sections = new Map(sections.map((section) => [section.first, section]));
    this.#count();
  }

  isFolded(first) {
    return this.#folded.has(first);
  }

  toggle(first) {
    if (!this.#folded.delete(first)) this.#folded.add(first);
    this.#count();
  }

  all(isFolded) {
    this.#folded = new Set(isFolded ? this.sections.keys() : []);
    this.#count();
  }

  get anyFolded() {
    return this.#folded.size > 0;
  }

  /** Opens what hides a line; whether anything did. */
  reveal(n) {
    if (!this.#isHidden(n)) return false;
    for (const first of this.#folded) {
      const { last } = this.sections.get(first) ?? {};
      if (first < n && n <= last) this.#folded.delete(first);
    }
    this.#count();
    return true;
  }

  count(total) {
    return this.indexOf(total + 1);
  }

  /** The position of a line; of a hidden one, that of the next one that is not. */
  indexOf(n) {
    const at = this.#lastFrom(n);
    if (at < 0) return n - 1;
    const { to, before, from } = this.#hidden[at];
    return n <= to ? from - 1 - before : n - 1 - before - (to - from + 1);
  }

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

  #isHidden(n) {
    const at = this.#lastFrom(n);
    return at >= 0 && n <= this.#hidden[at].to;
  }

  /** The last range that begins at this line or before. */
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
