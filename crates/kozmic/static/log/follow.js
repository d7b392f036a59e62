// The live end of a log, by the tailer's web socket. A connection that is lost is made
// again, from the line after the last one that came.

/** Milliseconds before the connection is made again. */
const AGAIN = 1000;

export class Tail {
  /** `keeps()` tells whether the lines themselves are of use now, or only how many. */
  constructor({ url, lines, keeps, say, onEnd }) {
    Object.assign(this, { url, lines, keeps, say, onEnd });
    this.#connect();
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const from = this.lines.total + 1;
    const socket = new WebSocket(`${scheme}//${location.host}${this.url}?from=${from}&partial=1`);
    let isOver = false;
    socket.addEventListener("open", () => this.say(this.lines.count ? "" : "Waiting for the first line…"));
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "message") {
        this.#take(message.content);
        this.say("");
      } else if (message.type === "partial") {
        const [row] = rowsOf(message.content);
        this.lines.setPartial(message.line, row?.html ?? message.content);
        this.say("");
      } else if (message.type === "status" && message.content === "finished") {
        isOver = true;
        this.lines.finish();
        this.say("");
        this.onEnd();
      }
    });
    socket.addEventListener("close", () => {
      if (isOver) return;
      this.say("Connection lost; trying again…");
      setTimeout(() => this.#connect(), AGAIN);
    });
  }

  #take(content) {
    // No line can hold this text as it is: what is shown of it is escaped.
    const last = Number(/ id="L(\d+)"/.exec(content.slice(content.lastIndexOf('<div class="l"')))?.[1]);
    if (!last) return;
    this.lines.grow(last, this.keeps() ? rowsOf(content) : []);
  }
}

/** The lines of HTML as pages and the tailer have them. */
export function rowsOf(content) {
  const template = document.createElement("template");
  template.innerHTML = content;
  return [...template.content.querySelectorAll(".l")].map(rowOf);
}

export function rowOf(element) {
  const at = element.dataset.at;
  return {
    n: Number(element.id.slice(1)),
    at: at === undefined ? undefined : Number(at) || null,
    html: element.lastElementChild.innerHTML,
  };
}
