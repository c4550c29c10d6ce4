// Requests in doubt, one request, and what a person decides about it.
import { h, show, table, empty, head, badge } from "./dom.js";
import { count, moment, ago, left } from "./words.js";
import { get, post } from "./api.js";
import { ask, say } from "./ask.js";
import { reasons } from "./reasons.js";

const levels = { sent: "good", failed: "bad", "in doubt": "warn", sending: "good" };
const link = (id) => h("a", { href: "#job/" + encodeURIComponent(id), class: "mono" }, id);

// exact is a time as Twilio's console has it: in UTC.
const exact = (time) => time.slice(11, 23) + " UTC";

function buttons(j) {
  const of = (what) => ({ type: "button", "data-do": what, "data-id": j.id, "data-to": j.recipient || "its recipient", "data-state": j.state });
  const doubt = j.state === "in doubt", over = (j.reasons || []).some((r) => r.over);
  return [
    doubt && h("button", { ...of("confirm"), "aria-label": "Twilio has it: " + j.id }, "Twilio has it"), doubt && " ",
    (doubt || j.state === "failed" || j.state === "cancelled") && !over && h("button", { ...of("resend"), "aria-label": "Send again: " + j.id }, "Send again"), doubt && " ",
    (doubt || j.state === "ready" || j.state === "delayed") && h("button", { ...of("cancel"), class: "danger", "aria-label": (doubt ? "Forget it: " : "Cancel: ") + j.id }, doubt ? "Forget it" : "Cancel"),
  ];
}

// decide does what a person wants with a request, after a question.
export async function decide(what, of) {
  const change = (more) => post("api/job", { id: of.id, do: what, ...more });
  let done;
  if (what === "confirm") {
    done = await ask("Twilio has it", `The message to ${of.to} was sent. Copy its SID from Twilio's console: Twilio is not asked whether it is right.`, "It was sent", (sid) => change({ sid }), { field: { label: "SID, such as SM and 32 digits" } });
  } else if (what === "resend") {
    const twice = of.state === "in doubt" ? `If Twilio has it already, ${of.to} gets it twice.` : `It goes to ${of.to} once more.`;
    done = await ask("Send it again?", twice, "Send it again", () => change());
  } else {
    const text = of.state === "in doubt" ? `It is not sent again. If Twilio does not have it, ${of.to} gets nothing.` : `${of.to} gets nothing.`;
    done = await ask(of.state === "in doubt" ? "Forget it?" : "Cancel it?", text, of.state === "in doubt" ? "Forget it" : "Cancel the request", () => change(), { danger: true });
  }
  if (!done) return;
  say({ confirm: "It counts as sent, by your word.", resend: "It is sent again.", cancel: "It is not sent any more." }[what]);
}

export function open(main) {
  let after = "";
  return {
    title: "In doubt",
    act(what, of) {
      if (what !== "next" && what !== "first") return decide(what, of);
      after = what === "next" ? of.after : "";
    },
    async update(o) {
      const page = await get("api/doubt?after=" + encodeURIComponent(after));
      const rows = page.jobs.map((j) => ({
        key: j.id,
        cells: [
          [link(j.id), h("span", { class: "sub" }, j.resource, j.campaign && " of " + j.campaign, j.sender && " from " + j.sender)],
          j.recipient || "–", j.began ? [h("span", { class: "mono" }, exact(j.began)), h("span", { class: "sub" }, j.began.slice(0, 10) + ", " + ago(j.began))] : "–",
          [j.decide ? badge("you decide", "warn") : badge("Twilio is asked " + left(j.look)), h("span", { class: "sub" }, j.reason)], buttons(j),
        ],
      }));
      show(main, head("In doubt", h("span", { class: "note" }, count(o.total.inDoubt) + " in all")),
        h("p", { class: "note" }, "These may have been sent: no answer came, or a worker died. The worker looks for most of them at Twilio by itself. For the others, look in Twilio's console for the sender and the time, and say what you found. This command shows the numbers: ", h("code", null, "pacer doubt show ID --reveal")),
        rows.length ? table("Requests in doubt", [{ label: "Request", wide: true }, { label: "Recipient" }, { label: "On the wire at" }, { label: "Why", wide: true }, { label: "", act: true }], rows) : empty("Nothing is in doubt."),
        h("p", { class: "buttons" }, after && h("button", { type: "button", "data-do": "first" }, "From the first"), page.after && h("button", { type: "button", "data-do": "next", "data-after": page.after }, "Next")));
    },
  };
}

export function openJob(main, id) {
  return {
    title: "Request",
    act: decide,
    async update() {
      const j = await get("api/job?id=" + encodeURIComponent(id));
      const fact = (term, text) => text && [h("dt", null, term), h("dd", null, text)];
      const step = (time, text) => time && { time, text };
      const steps = [
        step(j.created, "enqueued"), j.due !== j.created && step(j.due, new Date(j.due) > Date.now() ? "due" : "due, so ready"),
        step(j.began, "claimed by a worker" + (j.claims > 1 ? `, for the ${count(j.claims)}th time` : "")), step(j.lease, "the worker counts as dead if it has said nothing"),
        step(j.look, "Twilio is asked about it" + (j.looks ? `, after ${count(j.looks)} earlier looks` : "")), step(j.finished, j.state), step(j.deadline, "deadline: not sent later"),
      ].filter(Boolean).sort((a, b) => new Date(a.time) - new Date(b.time));
      show(main, head("Request", h("span", { class: "buttons" }, badge(j.state, levels[j.state]), buttons(j))), h("p", { class: "mono" }, j.id),
        h("section", { "aria-label": "Why it is there" }, h("h2", null, "Why it is there"), reasons(j.reasons, "It is about to be sent.", true)),
        h("section", { "aria-label": "What is known" }, h("h2", null, "What is known"), h("dl", { class: "panel facts-list" },
          fact("Operation", j.resource), fact("Campaign", j.campaign && h("a", { href: "#campaign/" + encodeURIComponent(j.campaign) }, j.campaign)), fact("Sender", j.sender), fact("Recipient", j.recipient), fact("Key", j.key),
          fact("On the wire at", j.began && [h("span", { class: "mono" }, exact(j.began)), " on " + j.began.slice(0, 10)]), fact("All numbers", j.state === "in doubt" && h("code", null, `pacer doubt show ${j.id} --reveal`)),
          fact("Priority", { "-1": "low", 1: "high" }[j.priority] || "normal"), fact("Attempts", count(j.attempts)), fact("SID", j.sid && h("span", { class: "mono" }, j.sid)), fact("Status", j.status), fact("Code", j.code), fact("Reason", j.reason))),
        h("section", { "aria-label": "History" }, h("h2", null, "History"), h("ol", { class: "panel line" }, steps.map((s) => h("li", null, h("span", null, moment(s.time), h("span", { class: "muted" }, " ", new Date(s.time) > Date.now() ? left(s.time) : ago(s.time))), h("span", null, s.text))))));
    },
  };
}
