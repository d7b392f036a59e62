// A build's page: shows the log of a job, and tells ends. What the page says of the build is
// renewed as on all pages. Without this script the page shows what was there when it was
// asked for.

import { partIfAny } from "./dom.js";
import { renewSoon } from "./live.js";
import { view } from "./log/viewer.js";
import { watch } from "./watch.js";

const viewer = partIfAny("#viewer", HTMLElement);
if (viewer) view(viewer, renewSoon);
watch();
