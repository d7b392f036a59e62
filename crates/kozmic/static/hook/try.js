// A try is started without leaving the form, where what it tries may not be saved yet. Without
// this script it opens in a tab of its own.

import { parts } from "../dom.js";
import { words } from "../words.js";
import { written } from "./check.js";

/**
 * Sends it: the page of the try, or why there is none.
 * @param {string} url
 * @param {URLSearchParams} body
 * @returns {Promise<{ page: string } | { problems: string[] }>}
 */
async function start(url, body) {
  const headers = { "content-type": "application/x-www-form-urlencoded", accept: "text/html" };
  const answer = await fetch(url, { method: "POST", headers, body: body.toString() });
  if (answer.redirected) {
    const isBuild = /\/builds\/\d+\/?$/.test(new URL(answer.url).pathname);
    return isBuild ? { page: answer.url } : { problems: [words("signed-out")] };
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  // What is said by the fields, or else by the whole page.
  const told = parts('[id^="problem-"] .trouble', HTMLElement, page).concat(parts("#content > .message p", HTMLElement, page));
  const problems = told.map(({ textContent }) => textContent?.trim() ?? "").filter(Boolean);
  return { problems: problems.length ? problems : [words("try-failed")] };
}

/**
 * A line of a kind.
 * @param {string} kind
 * @param {(string | Node)[]} content
 */
function line(kind, ...content) {
  const line = document.createElement("p");
  line.className = kind;
  line.append(...content);
  return line;
}

/** @param {string} page */
function linkTo(page) {
  const link = document.createElement("a");
  link.href = page;
  link.target = "_blank";
  link.rel = "noopener";
  link.textContent = words("try-build");
  return link;
}

/**
 * @param {HTMLFormElement} form
 * @param {HTMLButtonElement} button
 */
export function tries(form, button) {
  const said = document.createElement("div");
  said.setAttribute("role", "status");
  button.closest(".actions")?.after(said);
  let isUnderWay = false;
  form.addEventListener("submit", async (event) => {
    if (event.submitter !== button) return;
    event.preventDefault();
    if (isUnderWay) return;
    isUnderWay = true;
    said.replaceChildren(line("meta", words("try-starts")));
    try {
      const started = await start(button.formAction, written(form));
      if ("page" in started) said.replaceChildren(line("done", words("try-runs"), linkTo(started.page)));
      else said.replaceChildren(...started.problems.map((problem) => line("trouble", problem)));
    } catch {
      said.replaceChildren(line("trouble", words("try-failed")));
    }
    isUnderWay = false;
  });
}
