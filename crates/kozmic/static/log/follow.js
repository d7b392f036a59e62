// The live end of a log, by the tailer's web socket. A connection that is lost is made
// again, from the line after the last one that came.

import { parts, socketTo } from "../dom.js";
import { words } from "../words.js";

/** Milliseconds before the connection is made again. */
const AGAIN = 1000;
/** Lines that a connection may be late; those of one that is later are left out. */
const LATE = 2000;

export class Tail {
  /**
   * `log` is as pages and the tailer name it. `keeps()` tells whether the lines themselves are of use now, or only how many.
   * @param {{
   *   url: string,
   *   log: string,
   *   lines: import("./lines.js").Lines,
   *   keeps: () => boolean,
   *   say: (text: string) => void,
   *   onEnd: () => void,
   * }} of
   */
  constructor({ url, log, lines, keeps, say, onEnd }) {
    this.url = url;
    /** Which log the lines are of. */
    this.log = log;
    this.lines = lines;
    this.keeps = keeps;
    this.say = say;
    this.onEnd = onEnd;
    /** Up to which line this connection has come. */
    this.at = 0;
    /** @type {WebSocket | undefined} */
    this.socket = undefined;
    this.#connect();
  }

  #connect() {
    const socket = socketTo(`${this.url}?from=${this.lines.total + 1}&partial=1&log=${this.log}`);
    this.socket = socket;
    this.at = this.lines.total;
    let isOver = false;
    socket.addEventListener("open", () => this.say(this.lines.count ? "" : words("first-line")));
    socket.addEventListener("message", (event) => {
      if (socket !== this.socket) return;
      const message = JSON.parse(event.data);
      if (message.type === "message") {
        this.#take(message.content);
        this.say("");
      } else if (message.type === "partial") {
        const [row] = rowsOf(message.content);
        this.lines.setPartial(message.line, row?.html ?? message.content);
        this.say("");
      } else if (message.type === "log") {
        this.log = message.content;
      } else if (message.type === "restart") {
        // The job's worker was lost, and another one began another log: nothing that is
        // shown is of it.
        location.reload();
      } else if (message.type === "status" && message.content === "finished") {
        isOver = true;
        this.lines.finish();
        this.say("");
        this.onEnd();
      }
    });
    socket.addEventListener("close", () => {
      if (isOver || socket !== this.socket) return;
      this.say(words("lost"));
      setTimeout(() => this.#connect(), AGAIN);
    });
  }

  /** Where lines are written faster than they come, goes on at the end: they can be fetched. */
  catchUp() {
    if (!this.isLate || this.socket?.readyState !== WebSocket.OPEN) return;
    // It is closed when the server has read that, which may take until all is sent.
    const late = this.socket;
    this.#connect();
    late.close();
  }

  get isLate() {
    return this.lines.total - this.at > LATE;
  }

  /** @param {string} content */
  #take(content) {
    // No line can hold this text as it is: what is shown of it is escaped.
    const last = Number(/ id="L(\d+)"/.exec(content.slice(content.lastIndexOf('<div class="l"')))?.[1]);
    if (!last) return;
    this.at = last;
    this.lines.grow(last, this.keeps() ? rowsOf(content) : []);
  }
}

/**
 * The lines of HTML as pages and the tailer have them.
 * @param {string} content
 */
export function rowsOf(content) {
  const template = document.createElement("template");
  template.innerHTML = content;
  return parts(".l", HTMLElement, template.content).map(rowOf);
}

/**
 * @param {HTMLElement} element
 * @returns {import("./lines.js").Row}
 */
export function rowOf(element) {
  const at = element.dataset.at;
  return {
    n: Number(element.id.slice(1)),
    at: at === undefined ? undefined : Number(at) || null,
    html: element.lastElementChild?.innerHTML ?? "",
  };
}
