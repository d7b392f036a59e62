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

/** @param {string} name */
export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Nothing is remembered then.
  }
}
