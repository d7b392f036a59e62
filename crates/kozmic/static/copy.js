// Buttons that copy a text of the page. Without this script it can be selected.

import { part, parts } from "./dom.js";
import { words } from "./words.js";

/**
 * Also where the page came without TLS, which browsers keep from the clipboard's interface.
 * @param {HTMLElement} from
 */
async function copy(from) {
  if (navigator.clipboard) return navigator.clipboard.writeText(from.textContent ?? "");
  getSelection()?.selectAllChildren(from);
  if (!document.execCommand("copy")) throw new Error("nothing was copied");
}

for (const button of parts("button[data-copies]", HTMLButtonElement)) {
  const from = part(`#${button.dataset.copies}`, HTMLElement);
  const said = part('[data-part="copied"]', HTMLElement);
  button.hidden = false;
  button.addEventListener("click", async () => {
    said.textContent = "";
    try {
      await copy(from);
      said.textContent = words("copied", { what: from.getAttribute("aria-label") ?? "" });
    } catch {
      getSelection()?.selectAllChildren(from);
      said.textContent = words("not-copied");
    }
  });
}
