// Buttons that copy a text of the page. Without this script it can be selected.

/** Also where the page came without TLS, which browsers keep from the clipboard's interface. */
/** @param {HTMLElement} from */
async function copy(from) {
  const text = from.textContent ?? "";
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  getSelection()?.selectAllChildren(from);
  if (!document.execCommand("copy")) throw new Error("nothing was copied");
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  if (!(button instanceof HTMLButtonElement)) continue;
  const from = document.getElementById(button.dataset.copies ?? "");
  const said = document.getElementById("copied");
  if (!from || !said) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const what = from.getAttribute("aria-label") ?? "It";
    said.textContent = "";
    try {
      await copy(from);
      said.textContent = `${what} is copied.`;
    } catch {
      getSelection()?.selectAllChildren(from);
      said.textContent = `The browser did not copy it; it is selected now.`;
    }
  });
}
