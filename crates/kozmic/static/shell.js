// A terminal in the container of a failed job: what `kozmic shell` is, in a page.

import { part, partIfAny, socketTo } from "./dom.js";
import { words } from "./words.js";
import { Terminal } from "./xterm/xterm.mjs";

const LOOK = {
  background: "#101418", foreground: "#dfe5eb", cursor: "#dfe5eb", selectionBackground: "#3b4754",
  black: "#848d97", red: "#ff7b72", green: "#56d364", yellow: "#e3b341", blue: "#79b8ff", magenta: "#d2a8ff",
  cyan: "#56d4dd", white: "#c9d1d9", brightBlack: "#8b949e", brightRed: "#ffa198", brightGreen: "#7ee787",
  brightYellow: "#f2cc60", brightBlue: "#a5d6ff", brightMagenta: "#e2c5ff", brightCyan: "#8ae8ef", brightWhite: "#ffffff",
};

/**
 * The terminal makes style elements and style attributes, and the page's policy allows
 * neither. The same rules in a style sheet that a script has made, and the same properties set
 * one by one, are a trusted script's doing and need no exception from the policy.
 */
function keepToThePolicy() {
  const createElement = document.createElement.bind(document);
  /** @param {string} name @param {ElementCreationOptions} [options] */
  document.createElement = (name, options) => {
    if (name !== "style") return createElement(name, options);
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets.push(sheet);
    const element = createElement("span");
    element.hidden = true;
    let text = "";
    Object.defineProperty(element, "textContent", {
      get: () => text,
      set: (rules) => sheet.replaceSync((text = rules)),
    });
    const remove = element.remove.bind(element);
    element.remove = () => {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
      remove();
    };
    return element;
  };
  const setAttribute = Element.prototype.setAttribute;
  /** @param {string} name @param {string} value */
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style" && this instanceof HTMLElement) this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
}

/** @param {HTMLElement} section */
function open(section) {
  const screen = part(".screen", HTMLElement, section);
  const button = part("button", HTMLButtonElement, section);
  const said = part("[role=status]", HTMLElement, section);
  section.hidden = false;
  const terminal = new Terminal({
    theme: LOOK,
    fontSize: 13,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    screenReaderMode: true,
    minimumContrastRatio: 4.5,
    scrollback: 5000,
  });
  terminal.open(screen);
  const keyboard = screen.querySelector("textarea");
  keyboard?.setAttribute("aria-label", words("type-here"));
  keyboard?.setAttribute("aria-describedby", "keys-of-terminal");

  /** @type {WebSocket | undefined} */
  let socket;
  /** @param {unknown} message */
  const control = (message) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };
  /** As many columns and rows as there is room for. */
  const fit = () => {
    const cells = screen.querySelector(".xterm-screen")?.getBoundingClientRect();
    if (!cells?.width || !cells.height) return;
    const { paddingLeft, paddingTop } = getComputedStyle(screen);
    const [width, height] = [screen.clientWidth - 2 * Number.parseFloat(paddingLeft), screen.clientHeight - 2 * Number.parseFloat(paddingTop)];
    const columns = Math.floor(width / (cells.width / terminal.cols));
    const rows = Math.floor(height / (cells.height / terminal.rows));
    if (columns !== terminal.cols || rows !== terminal.rows) terminal.resize(Math.max(columns, 2), Math.max(rows, 1));
  };
  /** @param {boolean} isOpen @param {string} sentence */
  const tell = (isOpen, sentence) => {
    button.textContent = words(isOpen ? "end-it" : "connect-again");
    said.textContent = sentence;
  };

  const connect = () => {
    fit();
    const size = `columns=${terminal.cols}&rows=${terminal.rows}`;
    const opened = socketTo(`${section.dataset.socket}?${size}`);
    socket = opened;
    opened.binaryType = "arraybuffer";
    let end = words("not-opened");
    tell(true, words("connecting"));
    opened.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) return terminal.write(new Uint8Array(data));
      const message = JSON.parse(data);
      if (message.type === "open") {
        end = words("lost");
        tell(true, words("connected"));
        terminal.focus();
      } else if (message.type === "exit") {
        end = words("shell-ended", { code: String(message.code) });
      } else if (message.type === "over") {
        end = message.reason;
      }
    });
    opened.addEventListener("close", () => {
      if (socket !== opened) return;
      socket = undefined;
      const isLeft = screen.contains(document.activeElement);
      terminal.write(`\r\n[${end}]\r\n`);
      tell(false, end);
      if (isLeft) button.focus();
    });
  };

  const bytes = new TextEncoder();
  terminal.onData((text) => socket?.readyState === WebSocket.OPEN && socket.send(bytes.encode(text)));
  terminal.onBinary((text) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  });
  terminal.onResize(({ cols, rows }) => control({ type: "resize", columns: cols, rows }));
  terminal.attachCustomKeyEventHandler((event) => {
    if (!(event.ctrlKey && event.shiftKey && event.code === "KeyX")) return true;
    event.preventDefault();
    if (event.type === "keydown") button.focus();
    return false;
  });
  button.addEventListener("click", () => {
    if (!socket) return connect();
    const closing = socket;
    socket = undefined;
    closing.close();
    const end = words("you-ended");
    terminal.write(`\r\n[${end}]\r\n`);
    tell(false, end);
  });
  new ResizeObserver(fit).observe(screen);
  connect();
}

keepToThePolicy();
const section = partIfAny(".terminal", HTMLElement);
if (section) open(section);
