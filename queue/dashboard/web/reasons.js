// Shows why something does not go on, and what to do.
import { h } from "./dom.js";
import { count, moment, ago, left } from "./words.js";

// where is the page on which a person can do something about a cause.
function where(r) {
  switch (r.kind) {
    case "paused": case "rate": case "expired": case "window":
      return r.campaign && ["#campaign/" + encodeURIComponent(r.campaign), "Campaign " + r.campaign];
    case "held": case "unauthorized": case "suspended": return ["#holds", "Holds"];
    case "in doubt": return ["#doubt", "In doubt"];
    case "limit": return ["#limits", "Limits"];
    case "no worker": case "silent": case "busy": case "clock": case "refused": return ["#workers", "Workers"];
    case "failed": case "cancelled":
      if (!r.id && r.campaign) return ["#campaign/" + encodeURIComponent(r.campaign), "Campaign " + r.campaign];
      return r.id && ["#job/" + r.id, "The request"];
  }
  return null;
}

const harmless = ["rate", "done", "sending", "cancelled"];

// planned are the causes that somebody has ordered, with what the page says of them.
export const planned = { paused: "A campaign is paused", window: "Waits for its window", "not due": "Waits for its time" };

export const level = (r) => (r.stops && !planned[r.kind] ? "bad" : harmless.includes(r.kind) ? null : "warn");

export function reasons(all, none, limits) {
  if (!all.length) return h("p", { class: "note" }, none);
  return h("ul", { class: "reasons" }, all.map((r) => {
    let link = where(r);
    if (link && (link[0] === location.hash || link[0] === "#limits" && !limits)) link = null;
    const facts = [];
    if (r.sender) facts.push("sender " + r.sender + (r.lanes > 1 ? " and " + count(r.lanes - 1) + (r.lanes === 2 ? " more lane" : " more lanes") : ""));
    if (r.waiting) facts.push(count(r.waiting) + " wait");
    if (r.since) facts.push(h("span", null, "since ", moment(r.since), " (" + ago(r.since) + ")"));
    if (r.until) facts.push(h("span", null, "until ", moment(r.until), " (" + left(r.until) + ")"));
    return h("li", { class: "reason", "data-level": level(r) },
      h("p", { class: "what" }, r.text),
      facts.length > 0 && h("p", { class: "facts" }, facts.flatMap((f, i) => (i ? [" · ", f] : [f]))),
      h("p", { class: "do" }, r.do, link && h("a", { href: link[0] }, link[1])));
  }));
}
