// Opens the page that the address names, and tells it of each change in the queue.
import { h, show, empty, head } from "./dom.js";
import { count } from "./words.js";
import { listen, watch } from "./api.js";
import * as server from "./server.js";
import { say } from "./ask.js";
import { planned } from "./reasons.js";
import * as overview from "./overview.js";
import * as lanes from "./lanes.js";
import * as campaigns from "./campaigns.js";
import * as doubt from "./doubt.js";
import * as limits from "./limits.js";
import * as workers from "./workers.js";

const main = document.getElementById("main");
const pages = { overview: overview.open, lanes: lanes.open, campaigns: campaigns.open, campaign: campaigns.openOne, doubt: doubt.open, job: doubt.openJob, limits: limits.open, workers: workers.open, holds: workers.openHolds };
const names = [["overview", "Overview"], ["lanes", "Lanes"], ["campaigns", "Campaigns"], ["doubt", "In doubt"], ["holds", "Holds"], ["limits", "Limits"], ["workers", "Workers"]];
const parents = { campaign: "campaigns" };

let now = null; // the last overview
let page = null;
let place = "";
let drawing = null; // the page that waits for an answer
let stale = false; // whether something was told meanwhile

// refresh draws the page. What is told while an answer is awaited is drawn once, when that is there: a store that
// answers slowly is not asked for more and more.
async function refresh() {
  if (!now || !page) return;
  stale = true;
  if (drawing === page) return;
  const asked = drawing = page;
  while (stale && asked === page) {
    stale = false;
    try {
      await page.update(now);
      if (asked === page) main.dataset.page = place; // it is drawn
    } catch (err) {
      if (asked === page && !main.dataset.page) show(main.firstElementChild, head(page.title), empty(err.message));
    }
  }
  if (drawing === asked) drawing = null;
}

function go() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const open = pages[name] || pages.overview;
  delete main.dataset.page;
  const box = h("div", null, h("p", { class: "empty" }, "Reading …")); // its own, as the answer to a page that was left may be late
  main.replaceChildren(box);
  place = pages[name] ? name : "overview";
  page = open(box, decodeURIComponent(rest.join("/")));
  document.title = page.title + " · pacer";
  navigation();
  refresh();
}

function navigation() {
  const marks = now ? { doubt: now.total.inDoubt, holds: now.holds } : {};
  show(document.getElementById("nav"), names.filter(([n]) => n !== "limits" || (now && now.limits)).map(([n, text]) =>
    h("a", { href: "#" + n, "aria-current": n === (parents[place] || place) ? "page" : null }, text, marks[n] ? h("span", { class: "n" }, count(marks[n])) : "")));
}

// state says in one line how it stands. It is read aloud only when the words change, so figures stay out of it.
function state(text, level) {
  const line = document.getElementById("state");
  if (line.textContent !== text) line.textContent = text;
  line.dataset.level = level;
}

function news(o) {
  now = o;
  server.hears(o);
  if ("old" in main.dataset) overview.load().catch(() => {}); // what was not heard meanwhile
  delete main.dataset.old;
  overview.note(o);
  const stopping = o.reasons.filter((r) => r.stops), stops = stopping.filter((r) => !planned[r.kind]).length;
  if (o.error) state(`The store has not answered since ${server.at(o.since)}, and what you see is old. Bring it back: is its server away, or its disk full? The worker goes on by itself then. It says: ${o.error}`, "gone");
  else if (stops) state(stops === 1 ? "Something does not go on" : "Some things do not go on", "bad");
  else if (stopping.length) state(planned[stopping[0].kind], "warn");
  else if (o.reasons.some((r) => r.kind === "expired")) state("Some requests were not sent in time", "bad");
  else if (o.reasons.some((r) => r.kind === "failed")) state("Most requests of a campaign have failed", "bad");
  else if (o.reasons.some((r) => r.kind === "silent")) state("A worker is not heard of", "warn");
  else if (!o.workers) state("Nothing waits, and no worker lives", "warn");
  else if (o.total.ready + o.total.sending) state("Sending", "good");
  else state(o.total.failed ? "Nothing waits" : "All is sent", "good");
  navigation();
  refresh();
}

function lost() {
  server.lost();
  main.dataset.old = "";
  state(server.away(), "gone");
}

addEventListener("hashchange", () => {
  go();
  main.focus();
  scrollTo(0, 0);
});
document.getElementById("skip").addEventListener("click", () => main.focus());
document.getElementById("find").addEventListener("submit", (e) => {
  e.preventDefault();
  const id = document.getElementById("find-id").value.trim();
  if (id) location.hash = "#job/" + encodeURIComponent(id);
});
main.addEventListener("click", async (e) => {
  const button = e.target.closest("button[data-do]");
  if (!button || !page) return;
  try {
    const act = page.act || campaigns.steer;
    await act(button.dataset.do, { ...button.dataset });
  } catch (err) {
    say("Not done: " + err.message);
  }
  refresh();
});

go();
await overview.load().catch(() => {});
listen(news, lost);
watch(lost);
