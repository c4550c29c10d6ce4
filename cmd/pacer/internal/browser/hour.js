// Leaves the overview open for an hour and a quarter, of which the server makes seconds, and each other page for half an hour
// after the first quarter: node hour.js URL ID. It prints, as JSON, how many pages there were, and how many events each has had
// at least. It ends with an error if a page grows.
import assert from "node:assert/strict";
import { url, browser, faults, visit, go, countEvents, countAsked } from "./open.js";

const perMinute = 24; // events
const most = 128 << 10; // bytes by which the heap may grow
const pages = ["lanes", "campaigns", "campaign/spring", "doubt", "job/" + process.argv[3], "holds", "limits", "workers", "overview"];
let events = Infinity;

// measured opens a page, and returns what it has after a quarter of an hour, and so many hours later.
async function measured(name, hours) {
  const page = await visit({ viewport: { width: 1440, height: 900 } });
  await countAsked(page);
  await countEvents(page);
  await go(page, name);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");

  let wanted = await page.evaluate(() => window.heard);
  const pass = async (quarters) => {
    for (let i = 0; i < quarters; i++) {
      const made = await fetch(`${url}/advance?events=${15 * perMinute}`);
      assert.equal(made.status, 200);
      wanted += 15 * perMinute;
      const before = await page.evaluate(() => window.questions);
      await page.waitForFunction((n) => window.heard >= n && window.asked === 0, wanted, { timeout: 120000 });
      const questions = await page.evaluate(() => window.questions) - before;
      if (questions > 5 * perMinute) faults.push(`${name}: ${questions} questions after ${15 * perMinute} events at once: expected one for many events`);
    }
  };
  const measure = async () => {
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
    for (let i = 0; i < 3; i++) await devtools.send("HeapProfiler.collectGarbage");
    const { metrics } = await devtools.send("Performance.getMetrics");
    const of = (key) => metrics.find((m) => m.name === key).value;
    return { nodes: of("Nodes"), listeners: of("JSEventListeners"), heap: of("JSHeapUsedSize") };
  };
  await pass(1);
  const early = await measure();
  await pass(4 * hours);
  const late = await measure();
  events = Math.min(events, wanted);
  await page.context().close();
  return { early, late };
}

for (const name of pages) {
  const began = Date.now();
  const { early, late } = await measured(name, name === "overview" ? 1 : 0.5);
  const said = `${name}: early ${JSON.stringify(early)}, late ${JSON.stringify(late)}`;
  console.log(`${Date.now() - began} ms: ${said}`);
  if (late.nodes > early.nodes || late.listeners > early.listeners || late.heap > early.heap + most) faults.push(said);
}
await browser.close();
assert.deepEqual(faults, []);
console.log(JSON.stringify({ pages: pages.length, events }));
