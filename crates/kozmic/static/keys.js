// The keyboard. Keys are the page's while nobody types and no other key is held; they can be
// switched off, for those who speak to their computer (WCAG 2.2, 2.1.4).

const OFF = "kozmic.keys";

/** What each key does; who listens later has a key for itself. */
const known = new Map();

/** `actions` are functions by key; one that returns false leaves the key to the browser. */
export function listen(actions, dialog) {
  const isFirst = !known.size;
  for (const [key, action] of Object.entries(actions)) known.set(key, action);
  if (!isFirst) return;
  const isOn = dialog.querySelector("input");
  isOn.checked = remembered(OFF) !== "off";
  isOn.addEventListener("change", () => remember(OFF, isOn.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!isOn.checked || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select")) return;
    const action = known.get(event.key);
    if (action && action() !== false) event.preventDefault();
  });
}

export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Nothing is remembered then.
  }
}
