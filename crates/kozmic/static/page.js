// What all pages have: their lists stay up to date, and keys lead through them. Without this
// script everything can be read, and found with the form.

import { part, partIfAny, parts } from "./dom.js";
import { listen } from "./keys.js";
import { goTo, live, renewSoon } from "./live.js";
import { makeTimesLocal } from "./times.js";

/** Milliseconds without another letter until what was typed is looked for. */
const TYPED = 150;

const find = partIfAny('[data-part="find"][id="find"]', HTMLInputElement);
const help = part("#keys", HTMLDialogElement);

/**
 * To the next link of the page's lists, or the one before.
 * @param {number} by
 */
function step(by) {
  const links = parts("main [data-row]", HTMLElement);
  if (!links.length) return false;
  const at = links.findIndex((link) => link === document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
  links[next]?.focus();
}

const toFind = () => {
  if (!find) return location.assign("/#find");
  find.focus();
  find.select();
};

listen(
  {
    "/": toFind,
    j: () => step(1),
    k: () => step(-1),
    h: () => location.assign("/"),
    "?": () => help.showModal(),
  },
  help,
);
if (find && location.hash === "#find") toFind();

// What is found is shown as somebody types, and has an address.
if (find?.dataset.types === "live") {
  /** @type {number | undefined} */
  let timer;
  find.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const query = find.value.trim();
      goTo(query ? `/?${new URLSearchParams({ q: query })}` : "/");
      history.replaceState(null, "", query ? `/?${new URLSearchParams({ q: query })}` : "/");
      renewSoon();
    }, TYPED);
  });
}

// When the browser has nothing else to do, where it tells: what the page is about comes first.
const whenIdle = globalThis.requestIdleCallback ?? setTimeout;
whenIdle(() => makeTimesLocal(document));

// Pages without the list of projects show nothing that changes.
if (document.querySelector('[data-live="projects"]')) live();
