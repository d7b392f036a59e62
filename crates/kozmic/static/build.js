// A build's page: renews what it says of the build, and shows the log of a job. Without
// this script the page shows what was there when it was asked for.

import { view } from "./log/viewer.js";

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

const viewer = document.getElementById("viewer");
if (viewer) view(viewer, renewSoon);

// Other jobs of this build go on when the one that is shown has ended.
if (!isBuildFinished()) {
  const timer = setInterval(async () => {
    await renewSoon();
    if (isBuildFinished()) clearInterval(timer);
  }, 3000);
}
