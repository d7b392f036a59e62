// The log's viewer: puts its parts together and gives its controls their meaning. Without
// it the page shows the log by pages.

import { around, control, part, partIfAny, parts } from "../dom.js";
import { listen, remember, remembered } from "../keys.js";
import { tell, words } from "../words.js";
import { Folds } from "./folds.js";
import { Tail, rowOf } from "./follow.js";
import { ask, Lines, pauseAfter, textOf, told } from "./lines.js";
import { chosenLines, setChosenLines } from "./link.js";
import { Pane } from "./pane.js";
import { exactColours, Rows } from "./rows.js";
import { Search } from "./search.js";

const WRAP = "kozmic.wrap";
const TIMES = "kozmic.times";
/** Lines that are copied at once. */
const COPIED = 20_000;
/** Milliseconds in which the lines that the address names may come before their places are drawn. */
const SOON = 100;
/** Milliseconds between two looks for sections while the log grows. */
const SECTIONS = 3000;

/**
 * Shows the log in `viewer`; `onChange` is told of its first line and of its end.
 * @param {HTMLElement} viewer
 * @param {() => void} onChange
 */
export function view(viewer, onChange) {
  const { total, start, finished, url = "", page = "", tailer = "", log = "" } = viewer.dataset;
  /**
   * @template {Element} T
   * @param {string} name
   * @param {new () => T} type
   */
  const own = (name, type) => part(`[data-part="${name}"]`, type, viewer);
  const box = own("box", HTMLElement);
  const list = own("list", HTMLElement);
  const bar = own("bar", HTMLElement);
  const said = own("said", HTMLElement);
  const lines = new Lines(`${url}lines/`, Number(total), finished === "true");
  const folds = new Folds();
  const rows = new Rows(lines, folds);
  lines.start = start ? Number(start) : undefined;
  lines.put(parts(":scope > .l", HTMLElement, list).map(rowOf));
  // Asked for at once: a browser takes longer to lay out a page than the server to answer.
  const named = chosenLines();
  const first = named && Math.min(named[0], lines.total);
  if (first) lines.want([first]);
  list.replaceChildren();
  viewer.classList.add("live");
  viewer.classList.toggle("wraps", remembered(WRAP) !== "off");
  viewer.dataset.times = rows.times = remembered(TIMES) ?? "off";
  bar.hidden = false;
  for (const paged of viewer.querySelectorAll(".log-pages")) paged.remove();

  const pane = new Pane({ box, list, bar, lines, folds, rows });
  /** @param {string} text */
  const say = (text) => {
    said.textContent = text;
  };
  /** @param {string} text what somebody asked for */
  const sayAloud = (text) => {
    say(text);
    tell(text);
  };

  // Following the end.
  let isFollowing = false;
  /**
   * Where the focus went while it follows.
   * @type {EventTarget | null}
   */
  let entered = null;
  const follows = own("follow", HTMLButtonElement);
  /** @param {boolean} is */
  const follow = (is) => {
    isFollowing = is && !lines.isFinished;
    follows.setAttribute("aria-pressed", String(isFollowing));
    follows.hidden = lines.isFinished;
    if (!isFollowing) return;
    entered = null;
    pane.toEnd();
  };
  // What somebody is selecting must not move away, nor where they have gone by keyboard since.
  const isHeld = () => {
    const selection = getSelection();
    if (selection && !selection.isCollapsed && list.contains(selection.anchorNode)) return true;
    const focused = document.querySelector(":focus-visible");
    return focused && focused === entered && !viewer.contains(focused) && !focused.contains(viewer);
  };
  addEventListener("focusin", ({ target }) => (entered = target));
  let before = scrollY;
  pane.onScroll = () => {
    // While it follows, against where it went itself: both may come as one event.
    const wentUp = scrollY < (isFollowing ? pane.ownScroll : before) - 1;
    before = scrollY;
    if (lines.isFinished || pane.isOwnScroll) return;
    if (isFollowing && wentUp && !pane.isAtEnd) follow(false);
    else if (!isFollowing && !wentUp && pane.isAtEnd) follow(true);
  };

  /**
   * @param {number} n
   * @param {{ always?: boolean }} [options]
   */
  const show = (n, options) => {
    if (isFollowing) follow(false);
    pane.show(Math.max(1, Math.min(n, lines.count)), options);
  };

  // Lines that are named by the address.
  const copies = own("copy", HTMLButtonElement);
  /** @param {import("./link.js").Chosen} [chosen] */
  const choose = (chosen) => {
    rows.chosen = chosen;
    setChosenLines(page, chosen);
    copies.disabled = !chosen;
    pane.draw();
  };
  /** @param {number} n */
  const chooseAndShow = (n) => {
    choose([n, n]);
    show(n);
  };
  const takeAddress = () => {
    rows.chosen = chosenLines();
    copies.disabled = !rows.chosen;
    if (rows.chosen) show(rows.chosen[0], { always: true });
    else pane.draw();
  };
  addEventListener("hashchange", takeAddress);
  list.addEventListener("click", (event) => {
    const fold = around(event, "button[data-fold]", HTMLElement);
    if (fold) {
      pane.keeping(() => folds.toggle(Number(fold.dataset.fold)));
      partIfAny(`[data-fold="${fold.dataset.fold}"]`, HTMLElement, list)?.focus({ preventScroll: true });
      return;
    }
    const number = around(event, "a[data-n]", HTMLElement);
    if (!number || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const n = Number(number.dataset.n);
    const [from] = (event.shiftKey && rows.chosen) || [n];
    if (event.shiftKey) getSelection()?.removeAllRanges();
    choose([Math.min(from, n), Math.max(from, n)]);
  });

  // Search.
  const here = () => rows.chosen?.[0] ?? pane.visible[0];
  const search = new Search({
    form: own("find", HTMLFormElement),
    list: own("matches", HTMLElement),
    said: own("found", HTMLElement),
    rows: list,
    url: `${url}search/`,
    show: chooseAndShow,
    here,
  });
  /** @type {number | undefined} */
  let marking;
  pane.onDraw = () => {
    sync();
    marking ??= requestAnimationFrame(() => {
      marking = undefined;
      search.mark();
    });
  };
  const nextError = async () => {
    say(words("looking"));
    const from = rows.chosen ? rows.chosen[0] + 1 : pane.visible[0];
    try {
      const found = (await errorFrom(from)) ?? (from > 1 ? await errorFrom(1) : undefined);
      if (found) chooseAndShow(found);
      sayAloud(found ? words("line", { n: found }) : words("no-error"));
    } catch (error) {
      sayAloud(told(error));
    }
  };
  /** @param {number} from */
  const errorFrom = async (from) => {
    /** @type {number | null | undefined} */
    let next = from;
    while (next) {
      /** @type {{ matches: { n: number }[], next?: number | null }} */
      const answer = await ask(`${url}search/?errors=1&first=1&from=${next}`);
      const [found] = answer.matches;
      if (found) return found.n;
      next = answer.next;
    }
    return undefined;
  };

  // How lines look.
  const wraps = own("wrap", HTMLInputElement);
  const times = own("times", HTMLSelectElement);
  /** @param {boolean} is */
  const wrap = (is) => {
    wraps.checked = is;
    remember(WRAP, is ? "on" : "off");
    pane.keeping(() => viewer.classList.toggle("wraps", is));
  };
  /** @param {string} kind */
  const setTimes = (kind) => {
    times.value = kind;
    remember(TIMES, kind);
    pane.keeping(() => {
      rows.times = kind;
      viewer.dataset.times = kind;
    });
  };
  wraps.addEventListener("change", () => wrap(wraps.checked));
  times.addEventListener("change", () => setTimes(times.value));
  const nextTimes = () => {
    rows.nextTimes();
    setTimes(rows.times);
  };

  // A bar of its own for what is wider than the screen: the rows' own would be at their end.
  const across = own("across", HTMLElement);
  const width = part("div", HTMLElement, across);
  const sync = () => {
    const isWide = list.scrollWidth > list.clientWidth + 1;
    across.hidden = !isWide;
    width.style.width = `${list.scrollWidth}px`;
  };
  across.addEventListener("scroll", () => (list.scrollLeft = across.scrollLeft));
  list.addEventListener("scroll", () => (across.scrollLeft = list.scrollLeft));

  // Sections.
  const foldsAll = own("fold", HTMLButtonElement);
  let sectionsAt = 0;
  let failures = 0;
  const loadSections = async () => {
    sectionsAt = lines.total;
    try {
      const answer = await ask(`${url}sections/`);
      pane.keeping(() => folds.set(answer.sections));
      foldsAll.disabled = !folds.sections.size;
    } catch {
      // While the log grows they are asked for again anyway.
      if (lines.isFinished) setTimeout(loadSections, pauseAfter(failures++));
    }
  };
  foldsAll.addEventListener("click", () => {
    pane.keeping(() => folds.all(!folds.anyFolded));
    foldsAll.textContent = words(folds.anyFolded ? "unfold" : "fold");
  });

  const copy = async () => {
    if (!rows.chosen) return sayAloud(words("choose-first"));
    const [from, to] = rows.chosen;
    try {
      const text = await textOf(url, from, Math.min(to, from + COPIED - 1, lines.total));
      await toClipboard(text);
      sayAloud(words("copied", { count: to - from + 1 }));
    } catch (error) {
      sayAloud(words("not-copied", { why: told(error) }));
    }
  };

  // The other controls.
  const help = part("#keys", HTMLDialogElement);
  const goes = own("go", HTMLFormElement);
  const field = control(goes, "line", HTMLInputElement);
  follows.addEventListener("click", () => follow(!isFollowing));
  own("error", HTMLButtonElement).addEventListener("click", nextError);
  copies.addEventListener("click", copy);
  own("keys", HTMLButtonElement).addEventListener("click", () => help.showModal());
  goes.addEventListener("submit", async (event) => {
    event.preventDefault();
    const n = Number(field.value.replaceAll(/[^\d]/g, ""));
    field.value = "";
    field.blur();
    if (n > lines.count && !lines.isFinished) await lines.refresh().catch(() => {});
    if (n > 0) chooseAndShow(Math.min(n, lines.count));
  });
  const menu = own("menu", HTMLDetailsElement);
  document.addEventListener("click", (event) => {
    if (menu.open && event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    partIfAny("summary", HTMLElement, menu)?.focus();
  });
  /** @param {number} by */
  const step = (by) => {
    if (rows.chosen) chooseAndShow(Math.max(1, Math.min(rows.chosen[0] + by, lines.count)));
    else chooseAndShow(pane.visible[0]);
  };
  listen(
    {
      j: () => step(1),
      k: () => step(-1),
      g: () => {
        if (isFollowing) follow(false);
        pane.toStart();
      },
      G: () => {
        pane.toEnd();
        follow(true);
      },
      "/": () => search.focus(),
      n: () => search.step(1),
      N: () => search.step(-1),
      e: nextError,
      w: () => wrap(!wraps.checked),
      t: nextTimes,
      f: () => follow(!isFollowing),
      l: () => field.focus(),
      c: copy,
      Escape: () => rows.chosen && choose(undefined),
    },
    help,
  );

  // What comes.
  let wasEmpty = lines.count === 0;
  lines.addEventListener("came", () => pane.drawSoon());
  lines.addEventListener("trouble", (event) => event instanceof CustomEvent && say(event.detail));
  /** @type {number | undefined} */
  let growing;
  lines.addEventListener("grown", () => {
    growing ??= requestAnimationFrame(() => {
      growing = undefined;
      viewer.dataset.total = String(lines.total);
      if (isFollowing && !isHeld()) pane.toEnd();
      else pane.draw();
      if (lines.isFinished) follow(false);
      if (wasEmpty && lines.count) onChange();
      wasEmpty = lines.count === 0;
    });
  });

  wraps.checked = viewer.classList.contains("wraps");
  times.value = rows.times;
  copies.disabled = true;
  foldsAll.disabled = true;
  let isDrawn = false;
  const draw = () => {
    if (isDrawn) return;
    isDrawn = true;
    takeAddress();
    if (lines.total) loadSections();
  };
  if (first && lines.isFinished && !lines.get(first)) {
    lines.addEventListener("came", draw, { once: true });
    setTimeout(draw, SOON);
  } else {
    draw();
  }
  follow(!lines.isFinished && !named);
  if (!lines.isFinished) {
    const tail = new Tail({
      url: tailer,
      log,
      lines,
      // Only the end is of use as it comes; what is read elsewhere is fetched.
      keeps: () => isFollowing || pane.visible[1] > lines.total - 500,
      say,
      onEnd: () => {
        loadSections();
        onChange();
      },
    });
    const timer = setInterval(async () => {
      if (lines.isFinished) clearInterval(timer);
      if (lines.total === sectionsAt) return;
      loadSections();
      await lines.refresh().catch(() => {});
      tail.catchUp();
    }, SECTIONS);
  }
  exactColours(list);
}

/**
 * Also where the page came without TLS, which browsers keep from the clipboard's interface.
 * @param {string} text
 */
async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error(words("refused"));
}
