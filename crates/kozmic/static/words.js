// What scripts say. The words are the page's (templates/*words.html), so that a translation
// finds all of them in one folder; what stands between braces is put in here.

import { part, parts } from "./dom.js";

/** @type {Map<string, string>} by name, and by name and plural form where there are several */
const texts = new Map();
for (const template of parts("template.words", HTMLTemplateElement)) {
  for (const text of parts("[data-word]", HTMLElement, template.content)) {
    const { word = "", count } = text.dataset;
    texts.set(count ? `${word} ${count}` : word, text.textContent ?? "");
  }
}

const language = document.documentElement.lang || "en";
/** The page's language, as the reader writes it: with their order of day and month. */
const locale = navigator.languages.find((it) => it === language || it.startsWith(`${language}-`)) ?? language;

/**
 * Made when it is needed for the first time: browsers read much for each of these.
 * @template T
 * @param {() => T} make
 * @returns {() => T}
 */
function once(make) {
  /** @type {T | undefined} */
  let made;
  return () => (made ??= make());
}

const plural = once(() => new Intl.PluralRules(language));
const numbers = once(() => new Intl.NumberFormat(language));
const ages = once(() => new Intl.RelativeTimeFormat(language));
const times = once(() => new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "long" }));

/** @param {number} count */
const number = (count) => numbers().format(count);

/**
 * The text of this name; with a `count`, in the form that belongs to it.
 * @param {string} name
 * @param {Record<string, string | number>} values
 */
export function words(name, values = {}) {
  const { count } = values;
  const text = (typeof count === "number" && texts.get(`${name} ${plural().select(count)}`)) || texts.get(name);
  if (text === undefined) throw new Error(`no words ${name}`);
  return text.replaceAll(/\{(\w+)\}/g, (_, key) => {
    const value = values[key] ?? "";
    return typeof value === "number" ? number(value) : value;
  });
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} in seconds; as web/words.rs has them */
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 10],
];

/** @param {number} at in milliseconds since 1970 */
export function age(at) {
  const seconds = (Date.now() - at) / 1000;
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? [];
  if (!unit || !length) return words("just-now");
  return ages().format(-Math.floor(seconds / (unit === "second" ? 1 : length)), unit);
}

/**
 * The exact time, in the reader's zone, which it names.
 * @param {number} at in milliseconds since 1970
 */
export const exact = (at) => times().format(at);

/**
 * Told to who listens to the page instead of looking at it: politely, in the only place for it.
 * @param {string} text
 */
export function tell(text) {
  if (!text) return;
  const place = part("#told", HTMLElement);
  // What is the same as before would not be read again.
  place.textContent = text === place.textContent ? `${text}\u00a0` : text;
}
