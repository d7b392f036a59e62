// Which mails somebody chooses, and where a manager has a project's builds told of.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { isGood } from "./looks.mjs";
import { eventually, World } from "./world.mjs";

const SECRET = "a secret that signs";
const HOOK = "#!/bin/sh\n# kozmic: title = Tests\n# kozmic: image = kozmic/debian:bookworm\necho no; exit 1\n";

let world;
let sink;
/** What the sink was sent: headers and body. */
const received = [];
/** What it answers with next. */
let answer = 200;

before(async () => {
  sink = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      received.push({ headers: request.headers, body });
      response.writeHead(answer).end();
    });
  });
  await new Promise((resolve) => sink.listen(0, "127.0.0.1", resolve));
  const settings = {
    KOZMIC_WEBHOOK_NETWORKS: "127.0.0.1",
    // Nobody is there; nothing is sent before somebody chooses mail.
    KOZMIC_SMTP_URL: "smtp://127.0.0.1:9",
    KOZMIC_MAIL_FROM: "Kozmic <ci@example.org>",
  };
  world = await World.start({ "tests.sh": HOOK }, settings);
});
after(async () => {
  await world?.end();
  sink?.close();
});

test("mails are chosen for all projects, and otherwise for one", async () => {
  const page = await world.page();
  await page.goto(`${world.url}/account/settings/`);
  const mail = page.getByRole("region", { name: "Mail" });
  await mail.getByText("When a build fails, and when its branch is green again.").waitFor();
  await mail.getByLabel("Mail me").selectOption({ label: "when my own commits fail" });
  await mail.getByText("Otherwise for single projects").click();
  await mail.getByLabel("octo/orbit").selectOption({ label: "never" });
  await isGood(page, "mail-choices");
  await mail.getByRole("button", { name: "Save the choice" }).click();
  await mail.getByRole("status").filter({ hasText: "Saved." }).waitFor();
  assert.equal(await mail.getByLabel("Mail me").inputValue(), "own");
  assert.equal(await mail.getByLabel("octo/orbit").inputValue(), "never");
  await isGood(page, "mail-chosen");
  assert.deepEqual(page.problems, []);
});

test("a webhook is added, tested, told of a build, sent again and removed", async () => {
  const page = await world.page();
  await page.goto(`${world.url}/projects/1/settings/`);
  await page.getByRole("link", { name: "Webhooks and their deliveries" }).click();
  await page.getByText("There is none yet.").waitFor();
  await isGood(page, "no-webhooks");
  await page.getByLabel("URL").fill(`http://127.0.0.1:${sink.address().port}/ci`);
  await page.getByLabel("Secret").fill("short");
  await page.getByRole("button", { name: "Add the webhook" }).click();
  await page.getByRole("alert").filter({ hasText: "16 to 500 characters" }).waitFor();
  // The browser tells of the refusal as well.
  assert.match(page.problems.splice(0).join(), /422/);
  await isGood(page, "webhook-with-errors");
  await page.getByLabel("URL").fill(`http://127.0.0.1:${sink.address().port}/ci`);
  await page.getByLabel("Secret").fill(SECRET);
  await page.getByRole("button", { name: "Add the webhook" }).click();
  await page.getByText("The webhook is added.").waitFor();

  await page.getByRole("button", { name: /^Send a test/ }).click();
  await eventually("the test", async () => {
    await page.goto(`${world.url}/projects/1/notifications/`);
    return page.getByText("arrived").count();
  });
  const [first] = received;
  const expected = `sha256=${createHmac("sha256", SECRET).update(first.body).digest("hex")}`;
  assert.equal(first.headers["x-kozmic-signature-256"], expected);
  assert.equal(JSON.parse(first.body).event, "test");

  answer = 404;
  await world.push("a", "a");
  await world.finished();
  await eventually("the build's delivery", async () => {
    await page.goto(`${world.url}/projects/1/notifications/`);
    return page.getByText("given up").count();
  });
  await page.getByText("404 Not Found").waitFor();
  await isGood(page, "webhook-deliveries");
  answer = 200;
  const before = received.length;
  await page.getByRole("listitem").filter({ hasText: "given up" }).last().getByRole("button", { name: /again$/ }).click();
  await page.getByText("It is sent again").waitFor();
  await eventually("the same delivery", () => received.length > before);
  assert.equal(received.at(-1).body, received.at(-2).body);
  await page.getByRole("button", { name: /^Remove/ }).click();
  await page.getByText("The webhook is removed.").waitFor();
  await page.getByText("There is none yet.").waitFor();
  assert.deepEqual(page.problems, []);
});
