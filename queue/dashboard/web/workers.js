// Workers, and what is held.
import { h, show, table, empty, head, badge } from "./dom.js";
import { count, rate, moment, ago, left, lasts } from "./words.js";
import { get, post } from "./api.js";
import { ask, say } from "./ask.js";

export function open(main) {
  return {
    title: "Workers",
    async update(o) {
      const full = o.reasons.some((r) => r.kind === "store full"); // then no worker can say that it lives
      const all = await get("api/workers");
      const columns = [{ label: "Worker", wide: true }, { label: "Sends, over 30 s", num: true }, { label: "On the wire", num: true }, { label: "Runs since" }, { label: "Last seen" }, { label: "Version" }];
      const unknown = () => h("span", { class: "zero" }, "–");
      show(main, head("Workers", h("span", { class: "note" }, count(all.filter((w) => w.alive).length) + " alive")),
        h("p", { class: "note" }, "Each worker says every five seconds that it lives. One that has vanished without a word is shown for an hour. Nobody knows what it does since."),
        all.length ? table("Workers", columns, [...all.filter((w) => w.alive), ...all.filter((w) => !w.alive)].map((w) => ({
          key: w.host + w.pid + w.started,
          dim: !w.alive,
          cells: [
            [h("span", null, w.host, " ", h("span", { class: "muted" }, "process " + w.pid)), " ", w.alive ? badge("alive", "good") : full ? badge("not known", "warn") : badge("gone", "bad"),
              w.alive && Math.abs(w.clock) >= 30 && h("span", { class: "sub warn" }, `its clock is ${lasts(Math.abs(w.clock))} ${w.clock > 0 ? "ahead" : "behind"}`),
              w.alive && w.refusals.map((r) => h("span", { class: "sub warn" }, `new ${r.what} in ${r.from} are not taken`, r.time && [", of ", moment(r.time)], ": " + r.why))],
            w.alive ? rate(w.pace) : unknown(), w.alive ? `${count(w.onWire)} of ${count(w.concurrency)}` : unknown(),
            [moment(w.started)], w.alive ? [ago(w.seen)] : ["last heard ", moment(w.seen)], w.version || "–",
          ],
        }))) : empty("No worker has lived within the last hour. Start one: pacer worker, or systemctl start pacer."));
    },
  };
}

const whys = {
  throttled: "Twilio has answered “too many requests”", "quota used up": "a quota of minutes or hours is used up", "queue full": "Twilio's queue of the sender is full",
  unreachable: "Twilio cannot be reached, or does not answer properly", unauthorized: "Twilio does not take the credentials, or the account is suspended", "by a person": "a person has held it",
};

// ends says what happens when a person ends a hold.
const ends = {
  throttled: "If Twilio throttles again, there is a new hold.", "quota used up": "If the quota is still used up, there is a new hold.",
  "queue full": "If the queue is still full, there is a new hold.", unreachable: "If Twilio still cannot be reached, there is a new hold.",
  unauthorized: "If Twilio still refuses the credentials or the account, there is a new hold.", "by a person": "A person has held it: make sure that the reason is gone.",
};

export function openHolds(main) {
  return {
    title: "Holds",
    async act(what, of) {
      const done = await ask("End the hold?", `${of.what} is sent again at once. ${ends[of.reason] || ""}`, "End the hold", () => post("api/hold", { hold: of.hold }));
      if (done) say("The hold has ended.");
    },
    async update() {
      const all = await get("api/holds");
      const columns = [{ label: "What is held", wide: true }, { label: "Why", wide: true }, { label: "Since" }, { label: "Until" }, { label: "", act: true }];
      const what = (d) => (d.resource || "Everything of the account") + (d.sender ? " from " + d.sender : "");
      show(main, head("Holds", h("span", { class: "note" }, count(all.length) + " in all")),
        h("p", { class: "note" }, "Nothing of what is held is sent, whatever is ready. A hold ends by itself, and comes again while its cause lasts. Wrong credentials and a suspended account last until a person mends them."),
        all.length ? table("Holds", columns, all.map((d) => ({
          key: d.hold,
          cells: [
            what(d), [whys[d.reason] || d.reason || "not known", d.code > 0 && h("span", { class: "sub" }, "code " + d.code)], d.since ? [moment(d.since), h("span", { class: "sub" }, ago(d.since))] : "–",
            [moment(d.until), h("span", { class: "sub" }, left(d.until))], h("button", { type: "button", "data-do": "end", "data-hold": d.hold, "data-what": what(d), "data-reason": d.reason, "aria-label": "End it: the hold of " + what(d) }, "End it"),
          ],
        }))) : empty("Nothing is held."));
    },
  };
}
