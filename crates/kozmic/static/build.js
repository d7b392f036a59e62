// Follows a build: appends the log's lines as they are written, and renews what
// the page says of the build. Without this script the page shows what was there
// when it was asked for.

const log = document.getElementById("log");
const waiting = document.getElementById("waiting");

const isBuildFinished = () =>
  document.querySelector('[data-live="build"]')?.dataset.finished === "true";

/** Takes the parts that change from a fresh copy of this page. */
async function renew() {
  const answer = await fetch(`${location.pathname}?log=none`, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const renewed = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (renewed && renewed.outerHTML !== part.outerHTML) part.replaceWith(renewed);
  }
  document.title = fresh.title;
}

let renewing = Promise.resolve();
/** One after the other; a failed one is made good by the next. */
const renewSoon = () => (renewing = renewing.then(renew).catch(() => {}));

/** Follows the end of the log until the reader scrolls away from it. */
function isAtEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 80;
}

function tail() {
  const from = Number(log.dataset.next);
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}${log.dataset.tailer}?from=${from}`);
  let isOver = false;
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "message") {
      const isFirst = !log.firstElementChild;
      const follow = isAtEnd();
      log.insertAdjacentHTML("beforeend", message.content);
      const last = log.lastElementChild;
      if (last) log.dataset.next = String(Number(last.id.slice(1)) + 1);
      if (follow) window.scrollTo({ top: document.documentElement.scrollHeight });
      if (isFirst) renewSoon();
      waiting.textContent = "";
    } else if (message.type === "status" && message.content === "finished") {
      isOver = true;
      log.dataset.finished = "true";
      waiting.textContent = "";
      renewSoon();
    }
  });
  socket.addEventListener("close", () => {
    if (isOver) return;
    waiting.textContent = "Connection lost; trying again…";
    setTimeout(tail, 1000);
  });
}

if (log && log.dataset.finished !== "true") {
  if (!log.firstElementChild) waiting.textContent = "Waiting for the first line…";
  tail();
}

// Other jobs of this build go on when the one that is shown has ended.
if (!isBuildFinished()) {
  const timer = setInterval(async () => {
    await renewSoon();
    if (isBuildFinished()) clearInterval(timer);
  }, 3000);
}
