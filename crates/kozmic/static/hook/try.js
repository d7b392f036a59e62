// A try is started without leaving the form, where what it tries may not be saved yet. Without
// this script it opens in a tab of its own.

import { written } from "./check.js";

/** Sends it; the page of the try, or why there is none. @param {string} url @param {URLSearchParams} body */
async function start(url, body) {
  const headers = { "content-type": "application/x-www-form-urlencoded", accept: "text/html" };
  const answer = await fetch(url, { method: "POST", headers, body: body.toString() });
  if (answer.redirected && /\/builds\/\d+\/?$/.test(new URL(answer.url).pathname)) return { page: answer.url, problems: [] };
  if (answer.redirected) return { page: "", problems: ["You are signed out. Sign in in another tab, then try again here."] };
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const told = [...page.querySelectorAll('[id^="problem-"] .trouble, form.fields ~ .trouble, main > .trouble:not([role=alert]), #content .message')];
  const problems = told.map((one) => one.textContent?.trim() ?? "").filter(Boolean);
  return { page: "", problems: problems.length ? problems : ["It could not be started."] };
}

/** @param {HTMLFormElement} form @param {HTMLButtonElement} button */
export function tries(form, button) {
  const said = document.createElement("div");
  said.setAttribute("role", "status");
  button.closest(".actions")?.after(said);
  /** @param {string} kind @param {(string | Node)[]} content */
  const line = (kind, ...content) => {
    const line = document.createElement("p");
    line.className = kind;
    line.append(...content);
    return line;
  };
  form.addEventListener("submit", async (event) => {
    if (event.submitter !== button) return;
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    said.replaceChildren(line("meta", "Starting it…"));
    try {
      const { page, problems } = await start(button.formAction, written(form));
      if (page) {
        const link = document.createElement("a");
        link.href = page;
        link.target = "_blank";
        link.rel = "noopener";
        link.textContent = "its build, in a new tab";
        said.replaceChildren(line("done", "It is under way: ", link, "."));
      } else {
        said.replaceChildren(...problems.map((problem) => line("trouble", problem)));
      }
    } catch {
      said.replaceChildren(line("trouble", "The server did not answer; try again."));
    }
    button.removeAttribute("aria-disabled");
  });
}
