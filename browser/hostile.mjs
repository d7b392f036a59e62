// Texts of people who wish us ill, or write with more signs than we thought of.

/** What would show that a text was run. */
const RUN = "window.__ran=1";

/** @type {[string, string][]} a name, and the text */
export const TEXTS = [
  ["script", `<script>${RUN}</script>`],
  ["ends", `</textarea></title></style></pre></bdi></a></svg></script><script>${RUN}</script>`],
  ["image", `<img src=x onerror=${RUN}>`],
  ["svg", `<svg/onload=${RUN}>`],
  ["double-quotes", `" autofocus onfocus="${RUN}" data-x="`],
  ["single-quotes", `' onmouseover='${RUN}' data-x='`],
  ["backticks", "`onfocus=window.__ran=1` $(touch /tmp/ran)"],
  ["link", `javascript:${RUN}//`],
  ["data-link", `data:text/html,<script>${RUN}</script>`],
  ["templates", "{{7*7}} {% raw %}{{ x }} ${7*7} <%= 7*7 %> #{7*7} {{=7*7}} [[7*7]] {{constructor.constructor('window.__ran=1')()}}"],
  ["entities", "&lt;b&gt; &amp;amp; &#60;script&#62; &quot; &nbsp;|"],
  ["sql", "'; DROP TABLE builds; -- \" OR 1=1 /* \\' \\"],
  ["comment", "<!-- --> <![CDATA[ ]]> <?php ?> --!>"],
  ["right-to-left", "\u202Egnp.exe\u202C \u2067a\u2069 \u05D0\u05D1\u05D2 \u200F\u200E"],
  ["unclosed-override", "\u202E\u202D\u2066\u2067 never closed"],
  ["emoji", "\u{1F469}\u200D\u{1F469}\u200D\u{1F467}\u200D\u{1F466} \u{1F3F3}\uFE0F\u200D\u{1F308} \u{1F44D}\u{1F3FD} \u{E0067}\u{E007F}"],
  ["combining", `a${"\u0301\u0323\u0489".repeat(200)}b`],
  ["long", `long${"x".repeat(10_000)}`],
  ["control", "\u0001\u0007\u0008\u000B\u000C\u001B[31mred\u007F\u0085 end"],
  ["separators", "a\u2028b\u2029c\uFEFFd\u00ADe"],
  ["lines", "first\n\n<b>second</b>\nthird"],
];

/**
 * On one line and no longer than so many characters, as titles and names must be.
 * @param {string} text
 * @param {number} most
 */
export const short = (text, most) => [...text.replace(/\p{Cc}+/gu, " ").trim()].slice(0, most).join("").trim();

/**
 * As git allows a branch's name to be.
 * @param {string} text
 */
export const branch = (text) =>
  short(text, 80).replace(/[ ~^:?*[\\]+|\.\.|@\{|\/\/+/g, "-").replace(/^[-./]+|[./]+$|\.lock/g, "");
