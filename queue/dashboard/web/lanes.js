// Lanes: those that matter, all of them, or those that a search finds. The server pages.
import { h, show, table, empty, head } from "./dom.js";
import { count, zero, rate, lasts, left } from "./words.js";
import { post } from "./api.js";

const columns = [
  { label: "Lane", wide: true }, { label: "Ready", num: true }, { label: "Later", num: true }, { label: "On the wire", num: true },
  { label: "In doubt", num: true }, { label: "Sent", num: true }, { label: "Failed", num: true }, { label: "Oldest waits", num: true }, { label: "Finished, over 30–60 s", num: true },
];

export function laneTable(lanes) {
  return table("Lanes", columns, lanes.map((l) => ({
    key: l.id,
    cells: [
      [h("span", null, l.resource, l.sender && " from " + l.sender),
        (l.campaign || l.heldUntil) && h("span", { class: "sub" }, l.campaign && h("a", { href: "#campaign/" + encodeURIComponent(l.campaign) }, l.campaign),
          l.heldUntil && h("a", { class: "warn", href: "#holds" }, (l.campaign ? " · " : "") + "held, ends " + left(l.heldUntil)))],
      zero(l.ready), zero(l.delayed), zero(l.sending), zero(l.inDoubt, "warn"), zero(l.sent), zero(l.failed), l.ready ? lasts(l.age) : h("span", { class: "zero" }, "–"), l.pace ? rate(l.pace) : h("span", { class: "zero" }, "–"),
    ],
  })));
}

export function open(main) {
  const asked = { search: "", all: false, page: 0 };
  let typing;
  const box = h("input", { type: "search", id: "lane-search", placeholder: "resource, campaign, last digits", autocomplete: "off", spellcheck: "false", maxlength: "60" });
  const all = h("input", { type: "checkbox", id: "lane-all" });
  const list = h("div", { id: "lane-list" });
  show(main, head("Lanes"), h("p", { class: "note" }, "A lane is what keeps its order: the requests of one resource and sender, or those of a campaign among them. Finished is what the store counts as sent, failed or cancelled. What workers say that they send is another figure: see Campaigns and Workers."),
    h("div", { class: "bar" }, h("label", null, "Search"), h("span")), h("div"));
  main.querySelector(".bar label").append(box);
  main.querySelector(".bar span").replaceWith(h("label", { class: "check" }, all, "also those in which nothing waits"));
  main.lastElementChild.replaceWith(list);

  async function update() {
    const wanted = { ...asked };
    const found = await post("api/lanes", wanted);
    if (JSON.stringify(wanted) !== JSON.stringify(asked)) return;
    const pages = Math.max(1, Math.ceil(found.total / found.size));
    if (asked.page >= pages) {
      asked.page = pages - 1;
      return update();
    }
    show(list, h("section", { "aria-label": "Lanes found" },
      found.lanes.length ? laneTable(found.lanes) : empty(asked.search || asked.all ? "No lane is like that." : "Nothing waits in any lane."),
      h("div", { class: "bar" },
        h("span", { class: "note" }, count(found.total) + (found.total === 1 ? " lane" : " lanes")),
        pages > 1 && h("span", { class: "buttons" },
          h("button", { type: "button", "data-do": "before", disabled: asked.page === 0 }, "Before"),
          h("span", { class: "note" }, `page ${count(asked.page + 1)} of ${count(pages)}`),
          h("button", { type: "button", "data-do": "next", disabled: asked.page >= pages - 1 }, "Next")))));
  }
  box.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      Object.assign(asked, { search: box.value, page: 0 });
      update();
    }, 150);
  });
  all.addEventListener("change", () => {
    Object.assign(asked, { all: all.checked, page: 0 });
    update();
  });
  return {
    title: "Lanes",
    update,
    act(what) {
      asked.page += what === "next" ? 1 : -1;
      return update();
    },
  };
}
