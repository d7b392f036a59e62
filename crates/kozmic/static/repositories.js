// The repositories that can be turned on: those are shown that have what somebody types in
// their names. Without this script the form asks the server for them.

import { part, parts, partIfAny } from "./dom.js";
import { tell, words } from "./words.js";

/** Milliseconds without another letter until it is told how many there are. */
const TYPED = 600;

const find = partIfAny('#find[data-types="repositories"]', HTMLInputElement);
const none = part('[data-part="none"]', HTMLElement);

/** @type {number | undefined} */
let timer;

// The server shows only what was looked for when the page came; the rest is not here.
if (find && !find.value) {
  find.form?.addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("input", () => {
    const query = find.value.trim().toLowerCase();
    let count = 0;
    for (const owner of parts(".offers", HTMLElement)) {
      const rows = parts("li[data-name]", HTMLElement, owner);
      for (const row of rows) row.hidden = !row.dataset.name?.toLowerCase().includes(query);
      const shown = rows.filter((row) => !row.hidden).length;
      owner.hidden = !shown;
      count += shown;
    }
    none.hidden = count > 0;
    clearTimeout(timer);
    timer = setTimeout(() => tell(words("repositories", { count })), TYPED);
  });
}
