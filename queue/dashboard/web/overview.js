// The first page: what waits, what stands in the way, and an hour of it.
import { h, show, head } from "./dom.js";
import { count, rate, percent, lasts } from "./words.js";
import { get } from "./api.js";
import { plot } from "./plot.js";
import { reasons } from "./reasons.js";
import { laneTable } from "./lanes.js";
import { campaignTable } from "./campaigns.js";

const most = 720; // points, which is an hour: a page that stays open does not grow
let points = null;

// note keeps an overview's point, whatever page is open.
export function note(overview) {
  const p = overview.point;
  if (!points || !p || (points.length && points[points.length - 1].time >= p.time)) return;
  points.push(p);
  if (points.length > most) points.splice(0, points.length - most);
}

// load reads the last hour. What the page knows of before is kept, as a server that has begun anew knows less.
export async function load() {
  const read = await get("api/history");
  points = [...(points || []).filter((p) => !read.length || p.time < read[0].time), ...read].slice(-most);
}

const tile = (name, value, level, more) => h("div", { class: "tile" }, h("dt", null, name), h("dd", { class: level || null }, value, more && h("small", null, " " + more)));

export function open(main) {
  return {
    title: "Overview",
    update(o) {
      const full = o.reasons.some((r) => r.kind === "store full"); // then no worker can say that it lives
      const t = o.total, now = new Date(o.time) / 1000, all = points || [];
      show(main,
        head("Overview"),
        h("dl", { class: "panel tiles" },
          tile("Ready", count(t.ready)), tile("Later", count(t.delayed)), tile("On the wire", count(t.sending)),
          tile("Finished (30–60\u00a0s)", rate(o.rate)), tile("Oldest waits", lasts(t.age)),
          tile("In doubt", count(t.inDoubt), t.inDoubt ? "warn" : null), tile("Failed", count(t.failed), t.failed ? "bad" : null),
          tile("Workers", full ? "–" : count(o.workers), o.workers ? null : "warn", full ? "not known" : o.vanished ? o.vanished + " vanished" : "")),
        h("section", { "aria-label": "What stands in the way" }, h("h2", null, "What stands in the way"),
          reasons(o.reasons, t.ready + t.delayed ? "Nothing. What waits is about to be sent." : "Nothing, and nothing waits.", o.limits)),
        h("section", { "aria-label": "The last hour" }, h("h2", null, "The last hour"),
          h("div", { class: "plots" },
            plot("Requests finished, over 5 s each", all, now, (p) => p.sent, rate),
            plot("Throttled answers, of this process", all, now, (p) => p.throttled, percent, 0.05),
            plot("Requests ready", all, now, (p) => p.ready, count),
            plot("Wait of the oldest", all, now, (p) => p.age, lasts))),
        o.running.length > 0 && h("section", { "aria-label": "Campaigns" },
          h("div", { class: "head" }, h("h2", null, "Campaigns"), h("a", { href: "#campaigns" }, count(o.campaigns) + " in all")), campaignTable(o.running)),
        o.foremost.length > 0 && h("section", { "aria-label": "Lanes in which most waits" },
          h("div", { class: "head" }, h("h2", null, "Lanes in which most waits"), h("a", { href: "#lanes" }, count(o.lanes) + " in all")), laneTable(o.foremost)));
    },
  };
}
