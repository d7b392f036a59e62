// What the page shows is kept as it is at the server: its web socket tells what changed, and
// the parts marked with `data-live` are taken from a fresh copy of the page. Nothing is asked
// for while nothing changes.

import { part, partIfAny, parts, socketTo } from "./dom.js";
import { makeTimesLocal } from "./times.js";

/** Milliseconds before something is tried again that failed, at first and at most. */
const [FIRST, MOST] = [1000, 30_000];
/** Milliseconds between two fresh copies, when what the page is about has changed. */
const SOON = 1000;
/** And when only a project beside it has. */
const LATER = 15_000;

/** Milliseconds between two looks whether ages are right. */
const AGES = 30_000;
/** Attempts that failed before the page says so: a server that starts anew is soon back. */
const QUIET = 2;

/**
 * So that not all pages come at the same time, it differs.
 * @param {number} failures
 */
const pauseAfter = (failures) => Math.min(FIRST * 2 ** failures, MOST) * (0.5 + Math.random());

/** Is told `renewed` when parts of the page were taken from a fresh copy. */
export const renewed = new EventTarget();

/**
 * Where the page is, as it is asked for again. One that answers a form may be at an address that
 * nothing can be asked for, and says itself where it is.
 */
export let address =
  partIfAny("link[rel=canonical]", HTMLLinkElement)?.getAttribute("href") ?? location.pathname + location.search;

/** @param {string} path */
export function goTo(path) {
  address = path;
}

/** Takes the parts that change from a fresh copy of this page. */
async function renew() {
  // Of a page with a log, all but the log.
  const path = document.getElementById("viewer") ? `${location.pathname}?log=none` : address;
  const asked = address;
  const answer = await fetch(path, { headers: { accept: "text/html" } });
  if (answer.status >= 500) throw new Error(`the server answered ${answer.status}`);
  if (!answer.ok || answer.redirected) return;
  const text = await answer.text();
  // Somebody typed on meanwhile; what they look for now follows.
  if (asked === address) show(new DOMParser().parseFromString(text, "text/html"));
}

/** @param {Document} fresh */
function show(fresh) {
  // So that they differ by what has changed, and not by how times are written.
  for (const page of [document, fresh]) makeTimesLocal(page);
  for (const old of parts("[data-live]", HTMLElement)) {
    const now = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    if (!now || now.outerHTML === old.outerHTML) continue;
    // Who is in a list with the keyboard stays there.
    const active = document.activeElement;
    const link = active && old.contains(active) && active.getAttribute("href");
    old.replaceWith(now);
    if (!link) continue;
    const again = partIfAny(`a[href="${CSS.escape(link)}"]:not([tabindex])`, HTMLElement, now);
    again?.focus({ preventScroll: true });
  }
  document.title = fresh.title;
  const [icon, other] = [document, fresh].map((page) => partIfAny("link[rel=icon]", HTMLLinkElement, page));
  if (icon && other && icon.href !== other.href) icon.replaceWith(other);
  renewed.dispatchEvent(new Event("renewed"));
}

let renewing = Promise.resolve();
let renewedAt = performance.now();
let failed = 0;
/** One after the other; a failed one is tried again, for nothing else may change. */
export const renewSoon = () =>
  (renewing = renewing
    .then(renew)
    .then(
      () => void (failed = 0),
      () => renewWithin(pauseAfter(failed++)),
    )
    .finally(() => (renewedAt = performance.now())));

/** @type {{ at: number, timer: number } | undefined} */
let due;
/**
 * At once, unless that was just done; in a tab that nobody sees, when it is seen.
 * @param {number} pause
 */
function renewWithin(pause) {
  const at = Math.max(renewedAt + pause, performance.now());
  if (due && due.at <= at) return;
  clearTimeout(due?.timer);
  const timer = setTimeout(() => {
    due = undefined;
    // The title and the icon of a build are there for those who look at another tab.
    if (document.hidden && !document.querySelector('[data-live="build"]')) isMissed = true;
    else renewSoon();
  }, at - performance.now());
  due = { at, timer };
}

let isMissed = false;
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !isMissed) return;
  isMissed = false;
  renewSoon();
});

const offline = part("#offline", HTMLElement);
let failures = 0;
function connect() {
  const { version, current } = part('[data-live="projects"]', HTMLElement).dataset;
  const socket = socketTo(`/live?since=${encodeURIComponent(version ?? "")}`);
  socket.addEventListener("open", () => {
    failures = 0;
    offline.hidden = true;
  });
  socket.addEventListener("message", (event) => {
    const { type, projects } = JSON.parse(event.data);
    if (type !== "changed") return;
    const isOwn = !current || !projects || projects.includes(Number(current));
    renewWithin(isOwn ? SOON : LATER);
  });
  socket.addEventListener("close", () => {
    offline.hidden = failures + 1 < QUIET;
    setTimeout(connect, pauseAfter(failures++));
  });
}

/** From now on the page is as the server has it. */
export function live() {
  connect();
  // Ages get on by themselves, and say nothing to who listens.
  setInterval(() => makeTimesLocal(document), AGES);
}
