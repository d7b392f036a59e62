// The form of a hook: its scripts are edited with colours and line numbers, what is written is
// checked, and it can be tried without being saved. Without this script it is a form like any
// other.

import { part, parts } from "./dom.js";
import { check } from "./hook/check.js";
import { edit } from "./hook/editor.js";
import { tries } from "./hook/try.js";

for (const field of parts("textarea[data-code]", HTMLTextAreaElement)) edit(field);
const form = part("#hook", HTMLFormElement);
check(form);
tries(form, part("button[formaction]", HTMLButtonElement, form));
