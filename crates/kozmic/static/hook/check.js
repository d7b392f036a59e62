// What is written is checked while it is: the server says what it would say when it is saved,
// and what it knows of the image. Nothing is asked while nothing changes.

import { tell, words } from "../words.js";

/** Milliseconds without another letter until what was written is checked. */
const PAUSE = 500;

/** @typedef {{ field: string, sentence: string, is_trap: boolean }} Said */

/** @param {HTMLFormElement} form @returns what was written, as it is sent */
export const written = (form) => {
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (typeof value === "string") fields.append(name, value);
  return fields;
};

/** Where a sentence about a field stands. @param {HTMLElement} field */
function placeOf(field) {
  const id = `check-${field.id}`;
  const known = document.getElementById(id);
  if (known) return known;
  const place = document.createElement("div");
  place.id = id;
  field.closest("form > div, fieldset > div")?.append(place);
  field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby") ?? ""} ${id}`.trim());
  return place;
}

/** @param {HTMLElement} place @param {Said[]} problems @param {Said[]} notes */
function show(place, problems, notes) {
  /** @param {string} kind @param {string} sentence */
  const line = (kind, sentence) => {
    const line = document.createElement("p");
    line.className = `hint ${kind}`;
    line.textContent = sentence;
    return line;
  };
  place.replaceChildren(
    ...problems.map(({ sentence }) => line("trouble", sentence)),
    ...notes.map(({ sentence, is_trap }) => line(is_trap ? "note" : "meta", sentence)),
  );
}

/** Checks the form from now on. @param {HTMLFormElement} form */
export function check(form) {
  const url = form.dataset.check ?? "";
  const whole = document.createElement("div");
  form.querySelector(".actions")?.before(whole);
  /** Fields that somebody has written in: the others may be on their way. */
  const touched = new Set();
  /** @param {URLSearchParams} fields what is sent, but for what says nothing of the hook */
  const ofHook = (fields) => {
    fields.delete("ref");
    return fields.toString();
  };
  let checked = ofHook(written(form));
  let wrong = "";
  /** @type {AbortController | undefined} */
  let under_way;
  let timer = 0;

  /** @param {{ problems: Said[], notes: Said[] }} answer */
  const take = ({ problems, notes }) => {
    /** @type {Said[]} */
    const shown = [];
    for (const field of form.querySelectorAll("[name]")) {
      if (!(field instanceof HTMLElement) || !touched.has(field.id)) continue;
      const own = problems.filter(({ field: of }) => of === field.id);
      const ownNotes = own.length ? [] : notes.filter(({ field: of }) => of === field.id);
      // What the page said when it came is said again, or is no longer so.
      document.getElementById(`problem-${field.id}`)?.setAttribute("hidden", "");
      field.toggleAttribute("aria-invalid", false);
      if (own.length) field.setAttribute("aria-invalid", "true");
      show(placeOf(field), own, ownNotes);
      shown.push(...own, ...ownNotes.filter(({ is_trap }) => is_trap));
    }
    const ofAll = problems.filter(({ field }) => !field);
    show(whole, ofAll, []);
    const now = [...shown, ...ofAll].map(({ sentence }) => sentence).join(" ");
    if (now !== wrong) tell(now || words("nothing-wrong"));
    wrong = now;
  };

  const ask = async () => {
    const body = ofHook(written(form));
    if (body === checked) return;
    checked = body;
    under_way?.abort();
    under_way = new AbortController();
    const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
    const answer = await fetch(url, { method: "POST", headers, body, signal: under_way.signal });
    // Who is signed out learns so when they save.
    if (answer.ok && !answer.redirected) take(await answer.json());
  };

  form.addEventListener("input", (event) => {
    if (event.target instanceof HTMLElement) touched.add(event.target.id);
    clearTimeout(timer);
    timer = window.setTimeout(() => ask().catch((error) => error.name === "AbortError" || (checked = "")), PAUSE);
  });
}
