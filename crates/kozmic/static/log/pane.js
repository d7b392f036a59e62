// Draws the lines around what is on the screen, in a box that is as tall as all of them
// would be, and moves with the page. Browsers cap an element's height, so the box of a
// very long log is shorter: what is near its ends keeps its size, what is between is
// scaled. Rows stay where they were drawn, so small movements are exact everywhere.

/** Pixels of the box at the most; all browsers can do 10 million. */
const TALLEST = 6_000_000;
/** Pixels at each end that are not scaled. */
const EXACT = 1_500_000;
/** Rows above and below the screen. */
const SPARE = 60;
/** Rows that exist at the most. */
const MOST = 300;
/** Further away than so many screens, the scroll bar was dragged. */
const NEAR = 3;
/** Milliseconds without scrolling after which the scroll bar is put right. */
const IDLE = 160;

/**
 * A row, and how much of it is above a place.
 * @typedef {{ index: number, offset: number }} Anchor
 * @typedef {ReturnType<import("./rows.js").Rows["key"]>} Key
 */

export class Pane {
  /** @type {Map<number, { element: HTMLElement, key: Key }>} */
  #elements = new Map();
  #first = 0;
  #end = 0;
  /** Where the rows begin in the box. */
  #top = 0;
  #row = 20;
  /** @type {number | undefined} */
  #idle = undefined;
  /** @type {number | undefined} */
  #frame = undefined;
  /** Where the box begins in the page. */
  #place = 0;
  /**
   * Where this scrolled the page to.
   * @type {number | undefined}
   */
  #own = undefined;
  /**
   * A line that was jumped to: it stays where it is until the reader moves.
   * @type {number | undefined}
   */
  #aim = undefined;
  /** Told after each drawing. */
  onDraw = () => {};
  /** Told after each movement of the page. */
  onScroll = () => {};

  /**
   * `box` holds `list`, which holds the rows; `bar` sticks above them.
   * @param {{
   *   box: HTMLElement,
   *   list: HTMLElement,
   *   bar: HTMLElement,
   *   lines: import("./lines.js").Lines,
   *   folds: import("./folds.js").Folds,
   *   rows: import("./rows.js").Rows,
   * }} of
   */
  constructor({ box, list, bar, lines, folds, rows }) {
    this.box = box;
    this.list = list;
    this.bar = bar;
    this.lines = lines;
    this.folds = folds;
    this.rows = rows;
    this.measure();
    // As tall as all lines are, before any of them is drawn.
    this.#setHeight(this.#physical(this.count * this.#row));
    // What changes above the log must not move it; the rows move too often for the browser
    // to find one that stays.
    document.documentElement.style.overflowAnchor = "none";
    this.#place = this.#placeNow;
    new ResizeObserver(() => this.#pushed()).observe(document.body);
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const moved of ["wheel", "touchmove", "pointerdown", "keydown"]) {
      addEventListener(moved, () => (this.#aim = undefined), { passive: true, capture: true });
    }
    addEventListener("resize", () => {
      this.measure();
      this.draw();
    });
  }

  /** The height of a row that is not wrapped. */
  measure() {
    const probe = document.createElement("div");
    probe.className = "l";
    const text = document.createElement("span");
    text.textContent = "x";
    probe.append(document.createElement("a"), text);
    this.list.append(probe);
    this.#row = probe.getBoundingClientRect().height || 20;
    probe.remove();
  }

  get count() {
    return this.folds.count(this.lines.count);
  }

  /** The visible top within the box; negative above it. */
  get #scroll() {
    return this.bar.getBoundingClientRect().bottom - this.box.getBoundingClientRect().top;
  }

  get #placeNow() {
    return this.box.getBoundingClientRect().top + scrollY;
  }

  /** Where the page was scrolled to from here; where it is, if it never was. */
  get ownScroll() {
    return this.#own ?? scrollY;
  }

  /** Whether the page is where it was scrolled to from here, and not by the reader. */
  get isOwnScroll() {
    return this.#own !== undefined && Math.abs(scrollY - this.#own) < 2;
  }

  get height() {
    return Math.max(this.#row, innerHeight - this.bar.getBoundingClientRect().bottom);
  }

  /** Whether the end of the log is on the screen. */
  get isAtEnd() {
    return this.box.getBoundingClientRect().bottom - innerHeight < 8;
  }

  /**
   * The first and the last line on the screen.
   * @returns {[number, number]}
   */
  get visible() {
    const top = Math.max(0, this.#scroll);
    const from = this.#hit(top)?.index ?? this.#first;
    const to = this.#hit(top + this.height)?.index ?? this.#end - 1;
    return [this.folds.lineAt(from), this.folds.lineAt(Math.max(from, to))];
  }

  /** At most once per frame. */
  drawSoon() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.draw();
    });
  }

  draw() {
    const scroll = Math.max(0, this.#scroll);
    const aim = this.#aim && this.#elements.get(this.#aim)?.element;
    if (this.#aim && aim && this.#isOnScreen(aim)) {
      return this.#drawAt({ index: this.folds.indexOf(this.#aim) }, this.#top + aim.offsetTop);
    }
    this.#aim = undefined;
    const anchor = this.#hit(scroll) ?? this.#near(scroll) ?? this.#mapped(scroll);
    this.#drawAt(anchor, scroll - anchor.offset);
  }

  /** @param {HTMLElement} element */
  #isOnScreen(element) {
    const { top, bottom } = element.getBoundingClientRect();
    return bottom > this.bar.getBoundingClientRect().bottom && top < innerHeight;
  }

  /**
   * Draws anew after a change of how lines look or which are hidden; the top line stays.
   * @param {() => void} change
   */
  keeping(change) {
    const scroll = Math.max(0, this.#scroll);
    const anchor = this.#hit(scroll) ?? this.#mapped(scroll);
    const line = this.folds.lineAt(anchor.index);
    change();
    this.#drawAt({ index: this.folds.indexOf(line) }, scroll - anchor.offset);
  }

  /**
   * Brings a line onto the screen, a third from the top; not when it is there already.
   * @param {number} n
   */
  show(n, { always = false } = {}) {
    this.folds.reveal(n);
    const element = this.#elements.get(n)?.element;
    if (element && !always) {
      const { top, bottom } = element.getBoundingClientRect();
      const bar = this.bar.getBoundingClientRect().bottom;
      if (top >= bar && bottom <= innerHeight - this.#row) return this.draw();
    }
    const index = Math.max(0, Math.min(this.folds.indexOf(n), this.count - 1));
    const place = this.#physical(index * this.#row);
    // Tall enough to scroll there, whatever was drawn before.
    this.#setHeight(this.#physical(this.count * this.#row));
    this.#scrollTo(place - this.height / 3);
    this.#aim = this.folds.lineAt(index);
    this.#drawAt({ index }, place);
    this.#correct();
  }

  toStart() {
    this.show(this.folds.lineAt(0), { always: true });
  }

  toEnd() {
    const count = this.count;
    const index = Math.max(0, count - Math.ceil(this.height / this.#row));
    const place = this.#physical(index * this.#row);
    this.#aim = undefined;
    this.#drawAt({ index }, place);
    const end = (this.box.parentElement ?? this.box).getBoundingClientRect().bottom;
    this.#scrollPage(scrollY + end - innerHeight);
  }

  /**
   * The row at a place in the box.
   * @param {number} place
   * @returns {Anchor | undefined}
   */
  #hit(place) {
    const rows = /** @type {HTMLCollectionOf<HTMLElement>} */ (this.list.children);
    if (!rows.length || place < this.#top || place >= this.#top + this.list.offsetHeight) return undefined;
    let [low, high] = [0, rows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (rows[middle].offsetTop <= place - this.#top) low = middle;
      else high = middle - 1;
    }
    return { index: this.#first + low, offset: place - this.#top - rows[low].offsetTop };
  }

  /**
   * A place that is not far from the rows, told by the usual height.
   * @param {number} place
   * @returns {Anchor | undefined}
   */
  #near(place) {
    if (!this.list.children.length) return undefined;
    const after = place - (this.#top + this.list.offsetHeight);
    const before = this.#top - place;
    const [index, distance] = after >= 0 ? [this.#end, after] : [this.#first, -before];
    if (Math.abs(distance) > NEAR * this.height) return undefined;
    const at = index + Math.floor(distance / this.#row);
    if (at < 0 || at >= this.count) return undefined;
    return { index: at, offset: distance - (at - index) * this.#row };
  }

  /**
   * @param {number} place
   * @returns {Anchor}
   */
  #mapped(place) {
    const virtual = this.#virtual(place);
    const index = Math.max(0, Math.min(Math.floor(virtual / this.#row), this.count - 1));
    return { index, offset: Math.min(virtual - index * this.#row, this.#row) };
  }

  /**
   * Rows around the anchor, whose top is at this place.
   * @param {{ index: number }} anchor
   * @param {number} place
   */
  #drawAt({ index }, place) {
    const count = this.count;
    const screen = Math.min(Math.ceil(this.height / this.#row), MOST - 2 * SPARE);
    this.#first = Math.max(0, Math.min(index, count - screen) - SPARE);
    this.#end = Math.min(count, index + screen + SPARE);
    this.#fill();
    const anchor = this.list.children[index - this.#first];
    this.#top = place - (anchor instanceof HTMLElement ? anchor.offsetTop : 0);
    if (this.#first === 0 && this.#end === count) this.#top = 0;
    this.list.style.top = `${this.#top}px`;
    this.#setHeight(this.#top + this.list.offsetHeight + this.#after);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#correct(), IDLE);
    if (this.#first === 0) this.#correct();
    if (count) {
      this.lines.want([...this.#elements.keys()].sort((a, b) => a - b), this.rows.times !== "off");
    }
    this.onDraw();
  }

  /** Elements for the lines of the span, those that are right as they are kept. */
  #fill() {
    const wanted = new Map();
    for (let index = this.#first; index < this.#end; index++) wanted.set(this.folds.lineAt(index), undefined);
    for (const [n, { element }] of this.#elements) {
      if (wanted.has(n)) continue;
      element.remove();
      this.#elements.delete(n);
    }
    /** @type {ChildNode | null} */
    let next = this.list.firstChild;
    for (const n of wanted.keys()) {
      const key = this.rows.key(n);
      const kept = this.#elements.get(n);
      if (kept && kept.key.row === key.row && kept.key.text === key.text) {
        next = kept.element.nextSibling;
        continue;
      }
      const element = this.rows.element(n);
      if (kept) {
        next = kept.element.nextSibling;
        kept.element.replaceWith(element);
      } else {
        this.list.insertBefore(element, next);
      }
      this.#elements.set(n, { element, key });
    }
  }

  /** Height of what comes after the rows. */
  get #after() {
    return this.#physical(this.count * this.#row) - this.#physical(this.#end * this.#row);
  }

  /** Puts the rows where the scroll bar says they are; what is on the screen stays. */
  #correct() {
    const wrong = this.#top - this.#physical(this.#first * this.#row);
    if (Math.abs(wrong) < 1) return;
    const target = scrollY - wrong;
    const isAbove = this.#scroll <= 0;
    const move = () => {
      this.#top -= wrong;
      this.list.style.top = `${this.#top}px`;
      this.#setHeight(this.#top + this.list.offsetHeight + this.#after);
    };
    if (isAbove) return move();
    // The page must be tall enough for where it goes.
    if (wrong < 0) move();
    this.#scrollPage(target);
    if (wrong > 0) move();
  }

  #scrolled() {
    const scroll = Math.max(0, this.#scroll);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#correct(), IDLE);
    const margin = (SPARE / 2) * this.#row;
    const isNear =
      (this.#first === 0 || scroll - margin > this.#top) &&
      (this.#end === this.count || scroll + this.height + margin < this.#top + this.list.offsetHeight);
    if (!isNear) this.drawSoon();
    this.onScroll();
  }

  /** @param {number} place */
  #scrollTo(place) {
    const box = this.box.getBoundingClientRect().top + scrollY;
    const top = box - this.bar.offsetHeight + Math.max(0, place);
    this.#scrollPage(top);
  }

  /** @param {number} top */
  #scrollPage(top) {
    scrollTo({ top, behavior: "instant" });
    this.#own = scrollY;
  }

  /** What stands above the log has grown or shrunk. */
  #pushed() {
    const place = this.#placeNow;
    const by = place - this.#place;
    this.#place = place;
    // Only who reads the log would lose their line: the bar was at the top, over the lines.
    const wasRead = this.box.getBoundingClientRect().top - by < this.bar.offsetHeight;
    if (Math.abs(by) >= 1 && wasRead) this.#scrollPage(scrollY + by);
  }

  /** @param {number} height */
  #setHeight(height) {
    this.box.style.height = `${Math.max(height, this.#row)}px`;
  }

  /**
   * From the height that all rows before would have to a place in the box, and back.
   * @param {number} virtual
   */
  #physical(virtual) {
    const all = this.count * this.#row;
    if (all <= TALLEST || virtual < EXACT) return virtual;
    if (virtual > all - EXACT) return TALLEST - (all - virtual);
    return EXACT + ((virtual - EXACT) * (TALLEST - 2 * EXACT)) / (all - 2 * EXACT);
  }

  /** @param {number} place */
  #virtual(place) {
    const all = this.count * this.#row;
    if (all <= TALLEST || place < EXACT) return place;
    if (place > TALLEST - EXACT) return all - (TALLEST - place);
    return EXACT + ((place - EXACT) * (all - 2 * EXACT)) / (TALLEST - 2 * EXACT);
  }
}
