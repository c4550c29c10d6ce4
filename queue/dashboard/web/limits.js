// Limits: edit, see what would change, apply.
import { h, show, table, head } from "./dom.js";
import { rate, count, moment } from "./words.js";
import { get, post } from "./api.js";
import { say } from "./ask.js";

// file says what is different between the file that limits come from and those in force.
function file(f) {
  if (!f || (!f.error && !f.changes.length)) return null;
  const at = f.changed ? [" (changed at ", moment(f.changed), ")"] : "";
  if (f.error) {
    return h("div", { class: "reason", "data-level": "bad", id: "limits-file" }, h("p", { class: "what" }, "The file of limits is not taken"),
      h("p", null, h("code", null, f.path), at, " is refused: ", f.error, "."), h("p", { class: "do" }, "What is in force stays so. Mend the file: it is read again within two seconds. A restart with it as it is fails."));
  }
  return h("div", { class: "reason", "data-level": "warn", id: "limits-file" }, h("p", { class: "what" }, "What is in force differs from the file"),
    h("p", null, "The limits were changed on this page, or by the program, after ", h("code", null, f.path), at, ". In force, but not in the file:"), h("ul", { class: "changes" }, f.changes.map((c) => h("li", null, c))),
    h("p", { class: "do" }, "To keep this, write it into the file. To go back, save the file with any change, or restart the worker."));
}

export function open(main) {
  let version = null; // of the limits that are edited
  let read = ""; // the text of these limits
  let checked = null; // the text that was found valid
  const text = h("textarea", { id: "limits-text", "aria-label": "Limits as JSON", "aria-describedby": "limits-said", spellcheck: "false", autocomplete: "off" });
  const beside = h("div", { role: "status" });
  const said = h("div", { id: "limits-said", role: "status" });
  const meanwhile = h("div", { id: "limits-meanwhile", role: "status" });
  const apply = h("button", { type: "button", class: "strong", "data-do": "apply", disabled: true }, "Apply");
  const hint = h("span", { class: "note", id: "limits-hint" }, "Check first.");
  apply.setAttribute("aria-describedby", "limits-hint");
  const allow = (on) => {
    apply.disabled = !on;
    hint.hidden = on;
  };
  // doubt takes back what a check has said.
  const doubt = () => {
    checked = null;
    allow(false);
    show(said);
  };
  text.addEventListener("input", doubt);

  // take has the editor show the limits in force.
  function take(page) {
    version = page.version;
    text.value = page.text;
    read = text.value; // in which a browser may have changed the ends of lines
    show(meanwhile);
    doubt();
  }

  // compare says whether the limits are others than those that are edited. An editor in which nobody has written follows.
  function compare(page) {
    show(beside, file(page.file));
    if (page.version === version) {
      show(meanwhile);
      hint.textContent = "Check first.";
      return false;
    }
    if (text.value === read) take(page);
    else {
      doubt();
      hint.textContent = "Read again first.";
      show(meanwhile, h("div", { class: "reason", "data-level": "bad" }, h("p", { class: "what" }, "The limits in force were changed meanwhile"),
        h("p", null, "What you have written changes those of before, which are not in force any more."),
        h("p", { class: "do" }, "Copy what you want to keep. Then press Read again, and edit what is in force now.")));
    }
    return true;
  }

  async function load() {
    const page = await get("api/limits");
    show(beside, file(page.file));
    hint.textContent = "Check first.";
    take(page);
    const edit = h("section", { "aria-label": "Limits in force" });
    edit.append(h("p", { class: "note" }, "These rules are in force, in JSON. Senders are masked; leave a masked one as it is, or write a whole number. A change is in force ", page.kept, ". It is so ", page.where, "."),
      text, h("div", { class: "buttons" }, h("button", { type: "button", "data-do": "check" }, "Check"), apply, hint, h("button", { type: "button", "data-do": "again" }, "Read again")), meanwhile, said);
    main.replaceChildren(head("Limits"), beside, edit,
      h("section", { "aria-label": "Defaults" }, h("h2", null, "Defaults, where no rule matches"), h("p", { class: "note" }, "Pacer has these figures from Twilio's own pages. The last column links to the page that names a figure, or says why there is none."), table("Defaults", [{ label: "Resource", wide: true }, { label: "Senders" }, { label: "Rate", num: true }, { label: "In flight", num: true }, { label: "Where Twilio says so" }],
        page.defaults.map((d, i) => ({
          key: String(i),
          cells: [d.limit.resource + (d.limit.op ? ":" + d.limit.op : ""), d.senders || "all", d.limit.rate > 0 ? rate(d.limit.rate) : "–", d.limit.maxInFlight ? count(d.limit.maxInFlight) : "–",
            /^https:/.test(d.source) ? h("a", { href: d.source, rel: "noreferrer noopener", target: "_blank", "aria-label": "Twilio's page about " + d.limit.resource + " " + (d.senders || "") }, "Twilio's page") : d.source],
        })))));
  }

  return {
    title: "Limits",
    async update() {
      if (version === null) await load();
      else compare(await get("api/limits"));
    },
    async act(what) {
      if (what === "again") return load();
      const body = { text: text.value, version, apply: what === "apply" };
      if (body.apply && checked !== body.text) return;
      const found = await post("api/limits", body).catch(async (err) => {
        if (!compare(await get("api/limits"))) throw err;
      });
      if (!found) return;
      if (found.error) {
        show(said, h("p", { class: "bad" }, found.error));
      } else if (found.applied) {
        say(`The limits are in force ${found.where}.`);
        return load();
      } else {
        checked = body.text;
        allow(found.changes.length > 0);
        show(said, h("p", { class: "good" }, found.changes.length ? "Valid. This would change:" : "Valid, and the same as in force."), found.changes.length > 0 && h("ul", { class: "changes" }, found.changes.map((c) => h("li", null, c))));
      }
    },
  };
}
