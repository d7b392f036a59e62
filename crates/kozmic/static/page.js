// What all pages have: their lists stay up to date, and keys lead through them. Without this
// script everything can be read, and found with the form.

import { listen } from "./keys.js";
import { goTo, live, renewSoon } from "./live.js";

/** Milliseconds without another letter until what was typed is looked for. */
const TYPED = 150;

const find = document.querySelector('[data-part="find"][id="find"]');
const help = document.getElementById("keys");

/** To the next link of the page's lists, or the one before. */
function step(by) {
  const links = [...document.querySelectorAll("main [data-row]")];
  if (!links.length) return false;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
  links[next].focus();
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

// Pages without the list of projects show nothing that changes.
if (document.querySelector('[data-live="projects"]')) live();
