// Makes elements, and changes a page in place so that focus and typed text stay.

// h makes an element. Attributes that are null or false are left out. Text is text, and never HTML.
export function h(name, attributes, ...children) {
  const svg = ["svg", "path", "line", "g"].includes(name);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    e.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat(9)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    e.append(child instanceof Node ? child : String(child));
  }
  return e;
}

// show makes the children of an element those that are given. Elements that are there already are changed, and
// found by data-key, else by their place.
export function show(parent, ...children) {
  morphChildren(parent, h("div", null, ...children));
}

function morphChildren(old, wanted) {
  const keyed = new Map();
  for (const c of old.children) if (c.dataset && c.dataset.key) keyed.set(c.dataset.key, c);
  let at = old.firstChild;
  for (const want of [...wanted.childNodes]) {
    const key = want.dataset && want.dataset.key;
    let found = key ? keyed.get(key) : at;
    if (found && !key && found.dataset && found.dataset.key) found = null;
    if (found && alike(found, want)) {
      if (found === at) at = at.nextSibling;
      else old.insertBefore(found, at);
      morph(found, want);
      if (key) keyed.delete(key);
    } else {
      old.insertBefore(want, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.dataset && a.dataset.key) === (b.dataset && b.dataset.key);
}

function morph(old, want) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== want.data) old.data = want.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!want.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of want.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.nodeName !== "TEXTAREA") morphChildren(old, want);
}

// table makes a table that becomes cards on a narrow screen. A column is {label, num, wide, act}; a row is {key, cells}, and dim if what it
// tells is over.
export function table(caption, columns, rows) {
  const kind = (c) => (c.num ? "num" : c.wide ? "wide" : c.act ? "act" : null);
  return h("div", { class: "panel rows" }, h("table", { role: "table", "aria-label": caption },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((c) => h("th", { role: "columnheader", scope: "col", class: kind(c) }, c.label || h("span", { class: "muted", "aria-hidden": "true" }, ""))))),
    h("tbody", { role: "rowgroup" }, rows.map((r) => h("tr", { role: "row", "data-key": r.key, class: r.dim ? "dim" : null },
      columns.map((c, i) => cell(c, kind(c), r.cells[i])))))));
}

// cell makes a cell. One that says nothing is left out of a card.
function cell(column, kind, content) {
  const inside = h("div", null, content);
  const nothing = !inside.hasChildNodes() || (inside.childElementCount === 1 && inside.firstElementChild.className === "zero");
  return h("td", { role: "cell", class: [kind, nothing && "nil"].filter(Boolean).join(" ") || null, "data-label": column.label }, inside);
}

export const empty = (text) => h("p", { class: "empty" }, text);
export const badge = (text, level) => h("span", { class: "badge", "data-level": level }, text);
export const head = (title, ...more) => h("div", { class: "head" }, h("h1", null, title), ...more);
