// Opens the dashboard in twenty browsers, which look at it for half a minute: node twenty.js URL IDS. For ten seconds each
// of them looks at a request of its own. It prints, as JSON, how many browsers there were, and how many events the one
// has heard that has heard fewest.
import assert from "node:assert/strict";
import { browser, faults, visit, go, countEvents } from "./open.js";

const ids = process.argv.slice(3);
const open = [];
for (let i = 0; i < 20; i++) {
  const page = await visit({ viewport: { width: 1440, height: 900 } });
  await countEvents(page);
  await go(page, "overview");
  open.push(page);
}
const heard = () => Promise.all(open.map((page) => page.evaluate(() => window.heard)));
const before = await heard();
for (const names of [["overview"], ["lanes", "campaigns"], ids.map((id) => "job/" + id)]) {
  for (const [i, page] of open.entries()) await page.evaluate((name) => { location.hash = name; }, names[i % names.length]);
  await open[0].waitForTimeout(10000);
}
const after = await heard();
await browser.close();
assert.deepEqual(faults.filter((f) => !/status of 503/.test(f)), []); // so many requests wait for their turn
console.log(JSON.stringify({ browsers: open.length, fewest: Math.min(...after.map((n, i) => n - before[i])) }));
