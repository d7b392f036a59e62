// The keyboard. Keys are the page's while nobody types and no other key is held; they can be
// switched off, for those who speak to their computer (WCAG 2.2, 2.1.4).

import { around, part } from "./dom.js";

const OFF = "kozmic.keys";
/** Where keys are letters. */
const TYPING = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";

/** @typedef {Record<string, () => unknown>} Actions what keys do; `false` leaves the key to the browser */

/**
 * What each key does; who listens later has a key for itself.
 * @type {Map<string, () => unknown>}
 */
const known = new Map();

/**
 * `dialog` lists the keys, and has the box that switches them off.
 * @param {Actions} actions
 * @param {HTMLDialogElement} dialog
 */
export function listen(actions, dialog) {
  const isFirst = !known.size;
  for (const [key, action] of Object.entries(actions)) known.set(key, action);
  if (!isFirst) return;
  const isOn = part("input", HTMLInputElement, dialog);
  isOn.checked = remembered(OFF) !== "off";
  isOn.addEventListener("change", () => remember(OFF, isOn.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!isOn.checked || document.querySelector("dialog[open]")) return;
    if (around(event, TYPING, HTMLElement)) return;
    const action = known.get(event.key);
    if (action && action() !== false) event.preventDefault();
  });
}

/** Where it is remembered: for this browser, or for this tab alone.
 * @typedef {"localStorage" | "sessionStorage"} Kept
 */

/**
 * @param {string} name
 * @param {Kept} [kept]
 */
export function remembered(name, kept = "localStorage") {
  try {
    return window[kept].getItem(name);
  } catch {
    return null;
  }
}

/**
 * @param {string} name
 * @param {string} value
 * @param {Kept} [kept]
 */
export function remember(name, value, kept = "localStorage") {
  try {
    window[kept].setItem(name, value);
  } catch {
    // Nothing is remembered then.
  }
}
