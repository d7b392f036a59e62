// The form of a hook: its scripts are edited with colours and line numbers, what is written is
// checked, and it can be tried without being saved. Without this script it is a form like any
// other.

import { check } from "./hook/check.js";
import { edit } from "./hook/editor.js";
import { tries } from "./hook/try.js";

for (const field of document.querySelectorAll("textarea[data-code]")) {
  if (field instanceof HTMLTextAreaElement) edit(field);
}
const form = document.getElementById("hook");
if (form instanceof HTMLFormElement) {
  check(form);
  const button = form.querySelector("button[formaction]");
  if (button instanceof HTMLButtonElement) tries(form, button);
}
