// Campaigns: all of them, and one.
import { h, show, table, empty, head, badge } from "./dom.js";
import { count, rate, moment, left } from "./words.js";
import { get, post } from "./api.js";
import { ask, say } from "./ask.js";
import { reasons } from "./reasons.js";

const over = (c) => c.state === "done" || c.state === "cancelled";
const levels = { running: "good", paused: "warn", "outside its window": "warn" };
export const stateOf = (c) => badge(c.state, levels[c.state]);

// bar says how many of the recipients nothing happens to any more.
function bar(c) {
  const done = c.total - c.waiting - c.sending - c.inDoubt;
  const sent = c.failed + c.cancelled ? `, ${count(c.sent)} sent` : "";
  const text = `${count(done)} of ${count(c.total)}${sent}`;
  return [text, h("progress", { max: Math.max(1, c.total), value: done, "aria-label": c.name + ": " + text })];
}

const columns = [
  { label: "Campaign", wide: true }, { label: "Done", wide: true }, { label: "Waiting", num: true }, { label: "Failed", num: true }, { label: "Workers send", num: true }, { label: "Done at about", num: true }, { label: "", act: true },
];

function buttons(c, big) {
  if (over(c)) return null;
  const of = { type: "button", "data-name": c.name };
  return [
    c.state === "paused" ? h("button", { ...of, "data-do": "resume", "aria-label": "Resume " + c.name }, "Resume") : h("button", { ...of, "data-do": "pause", "aria-label": "Pause " + c.name }, "Pause"),
    big && [" ", h("button", { ...of, "data-do": "rate", "data-rate": c.rate }, "Change the rate"), " ", h("button", { ...of, "data-do": "window", "data-window": c.window || "always" }, "Change the window"), " ", h("button", { ...of, class: "danger", "data-do": "cancel", "data-waiting": c.waiting }, "Cancel")],
  ];
}

export function campaignTable(campaigns) {
  return table("Campaigns", columns, campaigns.map((c) => ({
    key: c.name,
    cells: [
      [h("a", { href: "#campaign/" + encodeURIComponent(c.name) }, c.name), " ", stateOf(c), c.limitedBy && h("span", { class: "sub" }, "limited by " + c.limitedBy)],
      bar(c), count(c.waiting), c.failed ? count(c.failed) : h("span", { class: "zero" }, "0"),
      over(c) ? h("span", { class: "zero" }, "–") : [rate(c.pace), h("span", { class: "sub" }, "of " + rate(c.rate))],
      c.eta && !over(c) ? [moment(c.eta), h("span", { class: "sub" }, left(c.eta))] : h("span", { class: "zero" }, "–"), buttons(c),
    ],
  })));
}

// steer changes a campaign, after a question where it cannot be taken back.
export async function steer(what, data) {
  const body = { name: data.name, do: what };
  const change = (more) => post("api/campaign", { ...body, ...more });
  let done = true;
  if (what === "cancel") {
    done = await ask(`Cancel ${data.name}?`, `It ends for good, and ${count(data.waiting)} who wait get nothing.`, "Cancel the campaign", () => change(), { danger: true });
  } else if (what === "rate") {
    done = await ask(`Rate of ${data.name}`, "Messages a second. The sender's limit holds all the same.", "Set the rate", (typed) => {
      if (!(Number(typed) > 0)) throw new Error("Expected a number above 0.");
      return change({ rate: Number(typed) });
    }, { field: { label: "Messages a second", value: data.rate } });
  } else if (what === "window") {
    done = await ask(`Window of ${data.name}`, "It sends only then. An example: mon-sat 08:00-21:00 Europe/Berlin. Or: always.", "Set the window", (window) => change({ window }), { field: { label: "Days, times and zone", value: data.window } });
  } else {
    await change();
  }
  if (!done) return;
  say({ pause: "Paused", resume: "Resumed", cancel: "Cancelled", rate: "The rate is set", window: "The window is set" }[what] + ": workers heed it within a second.");
}

export function open(main) {
  return {
    title: "Campaigns",
    act: steer,
    async update() {
      const all = await get("api/campaigns");
      const now = all.filter((c) => !over(c)), past = all.filter(over);
      show(main, head("Campaigns"),
        now.length ? campaignTable(now) : empty("No campaign runs or waits."),
        past.length > 0 && h("section", { "aria-label": "Campaigns that are over" }, h("h2", null, "Over"), campaignTable(past)));
    },
  };
}

export function openOne(main, name) {
  return {
    title: name,
    act: steer,
    async update() {
      const c = await get("api/campaign?name=" + encodeURIComponent(name));
      const fact = (term, text) => text && [h("dt", null, term), h("dd", null, text)];
      show(main,
        head(c.name, h("span", { class: "buttons" }, stateOf(c), buttons(c, true))),
        h("div", { class: "panel tile" }, bar(c)),
        h("dl", { class: "panel tiles" }, [["Waiting", c.waiting], ["On the wire", c.sending], ["Sent", c.sent], ["In doubt", c.inDoubt, "warn"], ["Failed", c.failed, "bad"], ["Cancelled", c.cancelled]]
          .map(([name, n, level]) => h("div", { class: "tile" }, h("dt", null, name), h("dd", { class: n ? level : null }, count(n))))),
        h("section", { "aria-label": "What limits it" }, h("h2", null, "What limits it"), reasons(c.reasons, c.limitedBy ? "It is limited by " + c.limitedBy + "." : "Nothing.", true)),
        h("section", { "aria-label": "Settings" }, h("h2", null, "Settings"), h("dl", { class: "panel facts-list" },
          fact("Rate", rate(c.rate)), fact("Workers send, over 30 s", rate(c.pace)), fact("Window", c.window || "at any time"), fact("Starts", moment(c.start)), fact("Expires", moment(c.expires)),
          fact("Sends again", moment(c.nextOpen)), !over(c) && c.eta && fact("Done at about", [moment(c.eta), " (" + left(c.eta) + ")"]))),
        h("p", null, h("a", { class: "button", href: "api/failures.csv?name=" + encodeURIComponent(name), download: "failures.csv" }, "Failures as CSV, numbers masked")));
    },
  };
}
