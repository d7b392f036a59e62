// Whoever watches a build learns its end, and those of its jobs: by ear, once each, and, when
// they want, by a notification of the browser, also when they look at another tab.

import { part, partIfAny, parts } from "./dom.js";
import { remember, remembered } from "./keys.js";
import { renewed } from "./live.js";
import { tell, words } from "./words.js";

/** @typedef {{ isOver: boolean, text: string }} State what to say when it is over */

/** @returns {Map<string, State>} of the build and its jobs, as the page shows them */
function states() {
  /** @type {Map<string, State>} */
  const all = new Map();
  for (const job of parts("[data-job]", HTMLElement)) {
    const title = partIfAny("bdi", HTMLElement, job)?.textContent ?? "";
    all.set(job.dataset.job ?? "", stateOf(job, "job-ended", { title }));
  }
  const build = part('[data-live="build"]', HTMLElement);
  all.set("build", stateOf(build, "build-ended", { number: build.dataset.number ?? "" }));
  return all;
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 * @param {Record<string, string>} values
 * @returns {State}
 */
function stateOf({ dataset }, name, values) {
  return { isOver: dataset.finished === "true", text: words(name, { ...values, status: dataset.status ?? "" }) };
}

/** @param {Map<string, State>} known */
const isOver = (known) => known.get("build")?.isOver === true;

/** From now on ends are told. */
export function watch() {
  let known = states();
  const notice = new Notice(() => !isOver(known));
  renewed.addEventListener("renewed", () => {
    const before = known;
    known = states();
    const ended = [...known].filter(([id, { isOver }]) => isOver && before.get(id)?.isOver === false);
    tell(ended.map(([, { text }]) => text).join(" "));
    if (isOver(known) && !isOver(before)) notice.give();
    notice.draw();
  });
}

/** Browsers let only pages notify that nobody on the way can have changed. */
const canNotify = () => "Notification" in window && isSecureContext;

/** The button that asks for a notification. What was chosen is kept for this build and tab. */
class Notice {
  /** @param {() => boolean} isWanted whether there is an end to come */
  constructor(isWanted) {
    this.isWanted = isWanted;
    this.button = part("#notify", HTMLButtonElement);
    this.said = part("#notify-said", HTMLElement);
    this.key = `kozmic.notify ${this.button.dataset.build}`;
    this.button.addEventListener("click", () => this.#toggle());
    this.draw();
  }

  get isOn() {
    return remembered(this.key, "sessionStorage") === "on" && Notification.permission === "granted";
  }

  draw() {
    if (!canNotify()) return;
    this.button.hidden = !this.isWanted();
    this.button.setAttribute("aria-pressed", String(this.isOn));
    if (this.button.hidden) this.said.textContent = "";
  }

  /** Asks for leave only now: a page that asks before anybody wanted it is refused. */
  async #toggle() {
    const wants = !this.isOn;
    const leave = wants ? await Notification.requestPermission() : "";
    remember(this.key, wants && leave === "granted" ? "on" : "off", "sessionStorage");
    this.draw();
    // It may have ended meanwhile.
    if (this.button.hidden) return;
    this.said.textContent = !wants ? "" : words(leave === "granted" ? "will-tell" : "may-not-tell");
    tell(this.said.textContent);
  }

  give() {
    if (!canNotify() || !this.isOn) return;
    remember(this.key, "off", "sessionStorage");
    try {
      const subject = partIfAny('[data-live="build"] .subject', HTMLElement)?.textContent ?? "";
      const icon = partIfAny("link[rel=icon]", HTMLLinkElement)?.href;
      const notification = new Notification(document.title, { body: subject.trim(), icon, tag: this.key });
      notification.addEventListener("click", () => {
        window.focus();
        notification.close();
      });
    } catch {
      // Some browsers leave that to service workers; title and icon tell it as well.
    }
  }
}
