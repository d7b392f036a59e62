// The log's viewer: puts its parts together and gives its controls their meaning. Without
// it the page shows the log by pages.

import { listen, remember, remembered } from "../keys.js";
import { Folds } from "./folds.js";
import { Tail, rowOf } from "./follow.js";
import { ask, Lines } from "./lines.js";
import { chosenLines, setChosenLines } from "./link.js";
import { Pane } from "./pane.js";
import { exactColours, Rows } from "./rows.js";
import { Search } from "./search.js";

const WRAP = "kozmic.wrap";
const TIMES = "kozmic.times";
/** Lines that are copied at once. */
const COPIED = 20_000;
/** Milliseconds between two looks for sections while the log grows. */
const SECTIONS = 3000;

/** Shows the log in `viewer`; `onChange` is told of its first line and of its end. */
export function view(viewer, onChange) {
  const { total, start, finished, url, page } = viewer.dataset;
  const part = (name) => viewer.querySelector(`[data-part="${name}"]`);
  const [box, list, bar, said] = ["box", "list", "bar", "said"].map(part);
  const lines = new Lines(`${url}lines/`, Number(total), finished === "true");
  const folds = new Folds();
  const rows = new Rows(lines, folds);
  lines.start = start ? Number(start) : undefined;
  lines.put([...list.children].map(rowOf));
  list.replaceChildren();
  viewer.classList.add("live");
  bar.hidden = false;
  for (const paged of viewer.querySelectorAll(".log-pages")) paged.remove();

  const pane = new Pane({ box, list, bar, lines, folds, rows });
  const say = (text) => (said.textContent = text);

  // Following the end.
  let isFollowing = false;
  const follows = part("follow");
  const follow = (is) => {
    isFollowing = is && !lines.isFinished;
    follows.setAttribute("aria-pressed", String(isFollowing));
    follows.hidden = lines.isFinished;
    if (isFollowing) pane.toEnd();
  };
  let before = scrollY;
  pane.onScroll = () => {
    const wentUp = scrollY < before - 1;
    before = scrollY;
    if (lines.isFinished || pane.isOwnScroll) return;
    if (isFollowing && wentUp && !pane.isAtEnd) follow(false);
    else if (!isFollowing && !wentUp && pane.isAtEnd) follow(true);
  };

  const show = (n, options) => {
    if (isFollowing) follow(false);
    pane.show(Math.max(1, Math.min(n, lines.count)), options);
  };

  // Lines that are named by the address.
  const choose = (chosen) => {
    rows.chosen = chosen;
    setChosenLines(page, chosen);
    part("copy").disabled = !chosen;
    pane.draw();
  };
  const chooseAndShow = (n) => {
    choose([n, n]);
    show(n);
  };
  const takeAddress = () => {
    rows.chosen = chosenLines();
    part("copy").disabled = !rows.chosen;
    if (rows.chosen) show(rows.chosen[0], { always: true });
    else pane.draw();
  };
  addEventListener("hashchange", takeAddress);
  list.addEventListener("click", (event) => {
    const fold = event.target.closest("button[data-fold]");
    if (fold) {
      pane.keeping(() => folds.toggle(Number(fold.dataset.fold)));
      list.querySelector(`[data-fold="${fold.dataset.fold}"]`)?.focus({ preventScroll: true });
      return;
    }
    const number = event.target.closest("a[data-n]");
    if (!number || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const n = Number(number.dataset.n);
    const [from] = (event.shiftKey && rows.chosen) || [n];
    if (event.shiftKey) getSelection().removeAllRanges();
    choose([Math.min(from, n), Math.max(from, n)]);
  });

  // Search.
  const here = () => rows.chosen?.[0] ?? pane.visible[0];
  const search = new Search({
    form: part("find"),
    list: part("matches"),
    said: part("found"),
    url: `${url}search/`,
    show: chooseAndShow,
    here,
  });
  search.rows = list;
  let marking;
  pane.onDraw = () => {
    sync();
    marking ??= requestAnimationFrame(() => {
      marking = undefined;
      search.mark();
    });
  };
  const nextError = async () => {
    say("Looking for the next error…");
    const from = rows.chosen ? rows.chosen[0] + 1 : pane.visible[0];
    try {
      const found = (await errorFrom(from)) ?? (from > 1 ? await errorFrom(1) : undefined);
      if (found) chooseAndShow(found);
      say(found ? `Line ${found.toLocaleString()}` : "No line of this log looks like an error.");
    } catch (error) {
      say(error.message);
    }
  };
  const errorFrom = async (from) => {
    for (let next = from; next; ) {
      const answer = await ask(`${url}search/?errors=1&first=1&from=${next}`);
      if (answer.matches.length) return answer.matches[0].n;
      next = answer.next;
    }
    return undefined;
  };

  // How lines look.
  const wraps = part("wrap");
  const times = part("times");
  const wrap = (is) => {
    wraps.checked = is;
    remember(WRAP, is ? "on" : "off");
    pane.keeping(() => viewer.classList.toggle("wraps", is));
  };
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
  const across = part("across");
  const sync = () => {
    const isWide = list.scrollWidth > list.clientWidth + 1;
    across.hidden = !isWide;
    across.firstElementChild.style.width = `${list.scrollWidth}px`;
  };
  across.addEventListener("scroll", () => (list.scrollLeft = across.scrollLeft));
  list.addEventListener("scroll", () => (across.scrollLeft = list.scrollLeft));

  // Sections.
  let sectionsAt = 0;
  const loadSections = async () => {
    sectionsAt = lines.total;
    try {
      const answer = await ask(`${url}sections/`);
      pane.keeping(() => folds.set(answer.sections));
      part("fold").disabled = !folds.sections.size;
    } catch {
      // They are asked for again when the log grows.
    }
  };
  part("fold").addEventListener("click", () => {
    pane.keeping(() => folds.all(!folds.anyFolded));
    part("fold").textContent = folds.anyFolded ? "Unfold all sections" : "Fold all sections";
  });

  const copy = async () => {
    if (!rows.chosen) return say("Click a line's number first, and another one with Shift held.");
    const [from, to] = rows.chosen;
    try {
      const text = await textOf(url, from, Math.min(to, from + COPIED - 1, lines.total));
      await toClipboard(text);
      say(from === to ? "The line is copied." : `${(to - from + 1).toLocaleString()} lines are copied.`);
    } catch (error) {
      say(`Not copied: ${error.message}`);
    }
  };

  // The other controls.
  const help = document.getElementById("keys");
  follows.addEventListener("click", () => follow(!isFollowing));
  part("error").addEventListener("click", nextError);
  part("copy").addEventListener("click", copy);
  part("keys").addEventListener("click", () => help.showModal());
  part("go").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = event.target.elements.line;
    const n = Number(field.value.replaceAll(/[^\d]/g, ""));
    field.value = "";
    field.blur();
    if (n > lines.count && !lines.isFinished) await lines.refresh().catch(() => {});
    if (n > 0) chooseAndShow(Math.min(n, lines.count));
  });
  const menu = part("menu");
  document.addEventListener("click", (event) => {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
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
      l: () => part("go").elements.line.focus(),
      c: copy,
      Escape: () => rows.chosen && choose(undefined),
    },
    help,
  );

  // What comes.
  let wasEmpty = lines.count === 0;
  lines.addEventListener("came", () => pane.drawSoon());
  lines.addEventListener("trouble", (event) => say(event.detail));
  let growing;
  lines.addEventListener("grown", () => {
    growing ??= requestAnimationFrame(() => {
      growing = undefined;
      viewer.dataset.total = lines.total;
      // What somebody is selecting must not move away.
      const selection = getSelection();
      const isHeld = !selection.isCollapsed && list.contains(selection.anchorNode);
      if (isFollowing && !isHeld) pane.toEnd();
      else pane.draw();
      if (lines.isFinished) follow(false);
      if (wasEmpty && lines.count) onChange();
      wasEmpty = lines.count === 0;
    });
  });

  viewer.classList.toggle("wraps", remembered(WRAP) !== "off");
  wraps.checked = remembered(WRAP) !== "off";
  const kind = remembered(TIMES);
  if (kind && kind !== "off") setTimes(kind);
  part("copy").disabled = true;
  part("fold").disabled = true;
  pane.measure();
  if (chosenLines()) takeAddress();
  else pane.draw();
  follow(!lines.isFinished && !rows.chosen);
  if (lines.total) loadSections();
  if (!lines.isFinished) {
    const tail = new Tail({
      url: viewer.dataset.tailer,
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

/** Also where the page came without TLS, which browsers keep from the clipboard's interface. */
async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error("the browser refused.");
}

/** The text of some lines, as it is shown. */
async function textOf(url, from, to) {
  const element = document.createElement("template");
  const text = [];
  for (let next = from; next <= to; ) {
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
