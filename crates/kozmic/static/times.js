// Times in the reader's zone. The server writes them in UTC, and how long ago they were when
// it was asked.

import { parts } from "./dom.js";
import { age, exact } from "./words.js";

/**
 * Makes the times of a page the reader's, and the ages right for now.
 * @param {ParentNode} page
 */
export function makeTimesLocal(page) {
  for (const time of parts("time[datetime]", HTMLTimeElement, page)) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    set(time, "title", exact(at));
    if (time.dataset.age !== undefined) set(time, "textContent", age(at));
    else if (time.textContent === time.dateTime) time.textContent = exact(at);
  }
  // A chart's bars say when their builds began.
  for (const bar of parts("svg [data-at] > title", SVGTitleElement, page)) {
    const written = bar.parentElement?.dataset.at ?? "";
    if (bar.textContent?.includes(written)) bar.textContent = bar.textContent.replace(written, exact(Date.parse(written)));
  }
}

/**
 * @param {HTMLTimeElement} time
 * @param {"title" | "textContent"} what
 * @param {string} text
 */
function set(time, what, text) {
  if (time[what] !== text) time[what] = text;
}
