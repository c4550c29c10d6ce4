// Drives a real browser through the dashboard: node check.js URL SCENE [FOLDER FOR PICTURES]. The last line that it
// prints is what it has measured, as JSON. It ends with an error if anything is not as it must be.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { url, scene, pictures, browser, faults, visit, go } from "./open.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pages = ["overview", "lanes", "campaigns", "doubt", "holds", "limits", "workers"];
if (scene === "small") pages.push("campaign/spring");
const shown = ["overview", "doubt", "campaign/spring"]; // in the pictures

// The first snapshot must be there, as it is where a worker runs.
const answer = await (await fetch(url + "/api/overview")).text();
const overview = JSON.parse(answer);

const first = await visit({ viewport: { width: 1440, height: 900 } });
let began = Date.now();
await go(first, "overview");
const cold = Date.now() - began; // with the browser's own first page
const nodes = await first.evaluate(() => document.querySelectorAll("*").length);
const took = [], work = []; // milliseconds, of the clock and of the processor
for (let i = 0; i < 5; i++) {
  const again = await visit({ viewport: { width: 1440, height: 900 } });
  const devtools = await again.context().newCDPSession(again);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  began = Date.now();
  await go(again, "overview");
  took.push(Date.now() - began);
  work.push(1000 * (await devtools.send("Performance.getMetrics")).metrics.find((m) => m.name === "TaskDuration").value);
  await again.context().close();
}
const [milliseconds, processor] = [took, work].map((all) => Math.round(all.sort((a, b) => a - b)[2]));

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1440, 360]) {
    const page = await visit({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true }); // axe is no part of the page
    for (const name of pages) {
      await go(page, name);
      const text = await page.evaluate(() => document.body.innerText);
      for (const secret of [/\+1\d{10}/, /your code is/]) assert.doesNotMatch(text, secret, `${name} shows a secret`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${name} at ${width} px is ${over} px too wide`);
      const own = await page.evaluate(() => [...document.querySelectorAll(".reason a")].filter((a) => a.getAttribute("href") === location.hash).length);
      assert.equal(own, 0, `a reason on ${name} leads to ${name}`);
      if (scene !== "large" || name === "lanes") {
        await page.evaluate(axe + ";0");
        const found = await page.evaluate(() => axe.run());
        for (const v of found.violations.filter((v) => ["serious", "critical"].includes(v.impact))) faults.push(`${name} at ${width} px, ${colorScheme}: ${v.id}: ${v.nodes.map((n) => n.html).slice(0, 3).join(" ")}`);
      }
      if (pictures && scene === "small" && shown.includes(name)) await page.screenshot({ path: join(pictures, `${name.replace("/spring", "")}-${width}-${colorScheme}.png`) });
    }
    await page.context().close();
  }
}

const press = (name) => first.getByRole("button", { name, exact: true }).click();
const inDialog = (name) => first.locator("dialog").getByRole("button", { name, exact: true }).click();
const says = (text) => first.getByText(text).first().waitFor();

// dies looks at pages whose server ends: what they show is old, and they say so.
async function dies() {
  const between = createServer((q, s) => {
    const to = request(url + q.url, { method: q.method, headers: q.headers }, (a) => {
      delete a.headers["content-length"];
      s.writeHead(a.statusCode, a.headers);
      a.on("data", (d) => s.write(String(d).replace('"works":false', '"works":true'))).on("end", () => s.end());
    }).on("error", () => s.destroy());
    s.on("close", () => to.destroy()); // else it keeps this program from ending
    q.pipe(to);
  });
  await new Promise((resolve) => between.listen(0, "127.0.0.1", resolve));
  const page = await (await browser.newContext({ timezoneId: "Europe/Berlin", locale: "en-US" })).newPage();
  await page.goto(`http://127.0.0.1:${between.address().port}/#overview`);
  await page.locator("#state", { hasText: "no worker lives" }).waitFor();
  between.close();
  between.closeAllConnections();
  await page.locator("#main[data-old]").waitFor();
  for (const name of ["overview", "campaigns", "holds"]) {
    await page.evaluate((hash) => (location.hash = hash), name);
    const said = page.locator("#state", { hasText: /^The worker that serves this page \(process \d+ on .+\) has not answered since \d\d:\d\d:\d\d \S+\. Unless another one runs, nothing is sent\. Start it: pacer worker/ });
    await said.waitFor();
    const { height, width, whole } = await page.evaluate(() => ({ ...document.getElementById("state").getBoundingClientRect().toJSON(), whole: document.documentElement.clientWidth }));
    assert.ok(height >= 48 && width === whole, `what says that the worker is dead is no banner: ${width} of ${whole} px, ${height} px high`);
    if (name !== "overview") await page.locator("#main", { hasText: "has not answered since" }).waitFor();
    assert.doesNotMatch(await page.evaluate(() => document.body.innerText), /Failed to fetch/);
  }
  await page.context().close();
}

// refused presses a button of the dialog, which stays open with what was typed and says what is wrong.
async function refused(name, typed, text) {
  await first.fill("#ask-input", typed);
  await inDialog(name);
  await first.locator("#ask-fault", { hasText: text }).waitFor();
  assert.equal(await first.inputValue("#ask-input"), typed);
  assert.doesNotMatch(await first.textContent("#ask-fault"), /queue:|dashboard:/);
}

if (scene === "empty") {
  for (const [name, text] of [["overview", "Nothing, and nothing waits."], ["lanes", "Nothing waits in any lane."], ["campaigns", "No campaign runs or waits."], ["doubt", "Nothing is in doubt."], ["holds", "Nothing is held."], ["workers", "No worker has lived"]]) {
    await go(first, name);
    await says(text);
  }
  await first.fill("#find-id", "no-such-request");
  await first.press("#find-id", "Enter");
  await says("no such job");
  await dies();
}

if (scene === "large") {
  await go(first, "lanes");
  await says("10,000 lanes");
  await press("Next");
  await says("page 2 of 200");
  await press("Before");
  await says("page 1 of 200");
  await first.fill("#lane-search", "•4711");
  await says("1 lane");
  assert.equal(await first.locator("#lane-list tbody tr").count(), 1);
}

if (scene === "small") {
  // By keyboard: the first tab stop leads past the navigation.
  await first.keyboard.press("Tab");
  assert.equal(await first.evaluate(() => document.activeElement.id), "skip");
  await first.keyboard.press("Enter");
  assert.equal(await first.evaluate(() => document.activeElement.id), "main");

  await go(first, "campaigns");
  await press("Pause summer");
  await first.getByRole("button", { name: "Resume summer" }).waitFor();
  await press("Pause spring");
  await press("Resume spring");
  await first.getByRole("button", { name: "Pause spring" }).waitFor();
  await go(first, "campaign/winter");
  await press("Cancel");
  await inDialog("Leave it");
  await press("Cancel");
  await says("5 who wait get nothing");
  await inDialog("Cancel the campaign");
  await first.locator(".badge", { hasText: "cancelled" }).waitFor();
  await go(first, "campaign/spring");
  await press("Change the rate");
  await refused("Set the rate", "fast", "above 0");
  await first.fill("#ask-input", "7.5");
  await first.press("#ask-input", "Enter");
  await first.locator(".facts-list", { hasText: "7.5/s" }).waitFor();
  await press("Change the window");
  await refused("Set the window", "at night", "expected days");
  await first.fill("#ask-input", "mon-fri 09:00-20:00 Europe/Berlin");
  await first.press("#ask-input", "Enter");
  await first.locator(".facts-list", { hasText: "Europe/Berlin" }).waitFor();
  await press("Change the window");
  await first.fill("#ask-input", "always");
  await inDialog("Set the window");
  await first.locator(".facts-list", { hasText: "at any time" }).waitFor();
  const [download] = await Promise.all([first.waitForEvent("download"), first.getByText("Failures as CSV").click()]);
  const csv = readFileSync(await download.path(), "utf8");
  assert.match(csv, /21211/);
  assert.doesNotMatch(csv, /\+1\d{10}/);

  await go(first, "doubt");
  const ids = await first.locator("tbody tr a.mono").allTextContents();
  assert.equal(ids.length, 4);
  await press("Twilio has it: " + ids[0]);
  await refused("It was sent", "", "expected that of a message");
  await refused("It was sent", "no SID", "expected that of a message");
  await first.fill("#ask-input", "SM0123456789abcdef0123456789abcdef");
  await inDialog("It was sent");
  await says("It counts as sent, by your word.");
  await press("Send again: " + ids[1]);
  await inDialog("Send it again");
  await says("It is sent again.");
  await press("Forget it: " + ids[2]);
  await inDialog("Forget it");
  await says("It is not sent any more.");
  await first.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await first.fill("#find-id", ids[0]);
  await first.press("#find-id", "Enter");
  await says("has said that Twilio has it; before that it was in doubt: no answer came for");
  await says("SM0123456789abcdef0123456789abcdef");

  // A failed request is found by its code, and sent again.
  const failed = csv.split("\n").find((line) => line.includes("21211")).split(",").pop().trim();
  await first.fill("#find-id", failed);
  await first.press("#find-id", "Enter");
  await press("Send again: " + failed);
  await inDialog("Send it again");
  await first.locator(".badge", { hasText: "ready" }).waitFor();

  await go(first, "holds");
  await first.getByRole("button", { name: /^End it: the hold of/ }).click();
  await inDialog("End the hold");
  await says("Nothing is held.");

  await go(first, "workers");
  const gone = await first.locator("tr.dim").innerText();
  assert.match(gone, /sender-1 process 4711[^]*gone[^]*last heard \d\d:\d\d:\d\d/);
  assert.doesNotMatch(gone, /17|19\.5/);

  await go(first, "limits");
  await first.locator("#limits-file", { hasText: "Messages: 10/s becomes 20/s" }).waitFor();
  const text = await first.inputValue("#limits-text");
  await first.fill("#limits-text", text.replace('"rate":20', '"rate":-1'));
  await says("Check first.");
  await press("Check");
  await first.locator("#limits-said .bad").waitFor();
  assert.ok(await first.getByRole("button", { name: "Apply" }).isDisabled());
  await press("Read again");
  await first.waitForFunction((was) => document.getElementById("limits-text").value === was, text);
  // Somebody else changes the limits. An editor in which nobody has written follows, and another one says so.
  const elsewhere = async (rate) => {
    const { version } = await (await fetch(url + "/api/limits")).json();
    const body = JSON.stringify({ text: text.replace('"rate":20', '"rate":' + rate), version, apply: true });
    assert.equal((await (await fetch(url + "/api/limits", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json()).applied, true);
  };
  await press("Check");
  await says("Valid, and the same as in force.");
  await elsewhere(25);
  await first.waitForFunction(() => document.getElementById("limits-text").value.includes('"rate":25'));
  await first.fill("#limits-text", text.replace('"rate":20', '"rate":40'));
  await press("Check");
  await says("Messages: 25/s becomes 40/s");
  await elsewhere(20);
  await first.locator("#limits-meanwhile", { hasText: "The limits in force were changed meanwhile" }).waitFor();
  await says("Read again first.");
  assert.equal(await first.textContent("#limits-said"), "");
  await press("Check");
  await first.waitForTimeout(300);
  await first.locator("#limits-meanwhile .reason").waitFor();
  await press("Read again");
  await first.waitForFunction((was) => document.getElementById("limits-text").value === was, text);
  await first.locator("#limits-meanwhile .reason").waitFor({ state: "detached" });
  await first.fill("#limits-text", text.replace('"rate":20', '"rate":30'));
  await press("Check");
  await says("Messages: 20/s becomes 30/s");
  await press("Apply");
  await says("The limits are in force only in this process");

  // Focus and typed text stay while the page is drawn anew with each event.
  await go(first, "lanes");
  await first.fill("#lane-search", "0007");
  await first.waitForTimeout(6000);
  assert.equal(await first.evaluate(() => document.activeElement.id + document.activeElement.value), "lane-search0007");
}

await browser.close();
assert.deepEqual(faults.filter((f) => !/status of (400|404|409)/.test(f)), []);
console.log(JSON.stringify({ cold, milliseconds, processor, nodes, bytes: answer.length, lanes: overview.lanes, waiting: overview.total.ready }));
