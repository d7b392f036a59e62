// A text field for scripts with line numbers and colours. The field stays what it is: it has
// the text, the caret, the browser's undo and the form's value. Beneath it lies the same text
// in colours, and its own letters are transparent. A library would be ten times as large, and
// those that are known (CodeMirror, Monaco) put style elements into the page, which its policy
// does not allow.

import { tell, words } from "../words.js";
import { languageOf, pieces } from "./pieces.js";

/** Characters up to which a text is coloured at every key. */
const COLOURED = 40_000;
/** Where lines begin, if no line of the text says otherwise. */
const INDENT = "  ";

/** Types it as if by hand, so that it can be undone. @param {HTMLTextAreaElement} field @param {string} text */
function type(field, text) {
  const done = text ? document.execCommand("insertText", false, text) : document.execCommand("delete");
  if (done) return;
  field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** What a line begins with that is one step further in. @param {string} text */
function indentOf(text) {
  const steps = [...text.matchAll(/^(\t| {2,8})(?=\S)/gm)].map(([step]) => step);
  if (steps.includes("\t")) return "\t";
  return steps.sort((one, other) => one.length - other.length)[0] ?? INDENT;
}

/** Moves the lines of a selection in or out. @param {HTMLTextAreaElement} field @param {boolean} isOut */
function indent(field, isOut) {
  const { value, selectionStart, selectionEnd } = field;
  const step = indentOf(value);
  if (!isOut && selectionStart === selectionEnd) return type(field, step);
  const from = value.lastIndexOf("\n", selectionStart - 1) + 1;
  // A selection that ends where a line begins has nothing of that line.
  const end = selectionEnd > selectionStart && value[selectionEnd - 1] === "\n" ? selectionEnd - 1 : selectionEnd;
  const lineEnd = value.indexOf("\n", end);
  const to = lineEnd < 0 ? value.length : lineEnd;
  const lines = value.slice(from, to).split("\n");
  const moved = lines.map((line) => {
    if (!isOut) return line && step + line;
    const spaces = /^ */.exec(line)?.[0].length ?? 0;
    return line.startsWith("\t") ? line.slice(1) : line.slice(Math.min(spaces, step === "\t" ? 8 : step.length));
  });
  if (moved.join("\n") === lines.join("\n")) return;
  field.setSelectionRange(from, to);
  type(field, moved.join("\n"));
  if (selectionStart === selectionEnd) {
    const shift = moved.join().length - lines.join().length;
    const caret = Math.max(from, selectionStart + shift);
    field.setSelectionRange(caret, caret);
  } else {
    field.setSelectionRange(from, from + moved.join("\n").length);
  }
}

/** Makes an editor of a text field. @param {HTMLTextAreaElement} field */
export function edit(field) {
  const around = document.createElement("div");
  around.className = "code";
  const numbers = document.createElement("pre");
  numbers.className = "numbers";
  const colours = document.createElement("pre");
  colours.className = "colours";
  for (const part of [numbers, colours]) part.setAttribute("aria-hidden", "true");
  const keys = document.createElement("p");
  keys.className = "keys";
  keys.id = `keys-of-${field.id}`;
  keys.textContent = words("tab-indents");
  field.before(around);
  around.append(numbers, colours, field);
  around.after(keys);
  field.wrap = "off";
  field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby") ?? ""} ${keys.id}`.trim());

  let lines = 0;
  const show = () => {
    const text = field.value;
    const count = text.split("\n").length;
    if (count !== lines) {
      lines = count;
      numbers.textContent = Array.from({ length: count }, (_, index) => `${index + 1}\n`).join("");
    }
    const language = text.length > COLOURED ? undefined : languageOf(text);
    around.classList.toggle("coloured", Boolean(language));
    if (language) {
      colours.replaceChildren(
        ...pieces(text, language).map(([kind, part]) => {
          if (!kind) return part;
          const span = document.createElement("span");
          span.className = kind;
          span.textContent = part;
          return span;
        }),
        "\n",
      );
    }
    follow();
  };
  const follow = () => {
    numbers.scrollTop = field.scrollTop;
    colours.scrollTop = field.scrollTop;
    colours.scrollLeft = field.scrollLeft;
  };

  let leaves = false;
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) {
      leaves = true;
      tell(words("tab-leaves"));
    } else if (event.key === "Tab" && !leaves && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      indent(field, event.shiftKey);
    } else if (!["Tab", "Shift"].includes(event.key)) {
      leaves = false;
    }
  });
  field.addEventListener("blur", () => (leaves = false));
  field.addEventListener("input", show);
  field.addEventListener("scroll", follow);
  field.form?.addEventListener("reset", () => setTimeout(show));
  show();
}
