// Draws up to an hour of one value.
import { h } from "./dom.js";

const width = 720, height = 100;
const spans = [[300, "5 min ago"], [900, "15 min ago"], [3600, "1 h ago"]]; // seconds

// spanOf returns how far back the plots of some points go: as far as the points do, and not less than five minutes.
export const spanOf = (points, now) => spans.find(([s]) => !points.length || now - points[0].time <= s) || spans[spans.length - 1];

// plot draws points {time, ...} up to the time now, in seconds. of gets the value; below 0 it is not known. words
// says a value. The line has a gap before a point of gap, and where the value is not known. low is the least value that fills the plot.
export function plot(title, points, now, of, words, low) {
  const [span, begin] = spanOf(points, now);
  const known = points.filter((p) => of(p) >= 0 && p.time > now - span);
  const most = known.reduce((m, p) => Math.max(m, of(p)), 0);
  const top = nice(Math.max(most, low || 0));
  const x = (p) => (width * (1 - (now - p.time) / span)).toFixed(1);
  const y = (p) => (height - (height - 2) * (of(p) / top)).toFixed(1);
  let line = "", area = "", from = null, before = null;
  const end = () => before && (area += `L${x(before)} ${height}L${x(from)} ${height}Z`);
  for (const p of points) {
    if (p.time <= now - span) continue;
    const joined = before && of(p) >= 0 && !p.gap;
    if (before && !joined) {
      end();
      before = null;
    }
    if (!(of(p) >= 0)) continue;
    if (!joined) {
      from = p;
      line += `M${x(p)} ${y(p)}h0`; // so that a point by itself is a dot
      area += `M${x(p)} ${y(p)}`;
    } else {
      line += `L${x(p)} ${y(p)}`;
      area += `L${x(p)} ${y(p)}`;
    }
    before = p;
  }
  end();
  const last = known[known.length - 1];
  const value = last ? words(of(last)) : "–";
  return h("div", { class: "panel plot", "data-key": title },
    h("div", { class: "head" }, h("h3", null, title), h("span", { class: "now" }, value)),
    h("div", { class: "drawn" },
      h("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}, from ${begin}: now ${value}, at most ${words(most)}` },
        h("line", { class: "grid", x1: 0, x2: width, y1: height, y2: height }), h("line", { class: "grid", x1: 0, x2: width, y1: 2, y2: 2 }),
        h("path", { class: "area", d: area }), h("path", { class: "line", d: line })),
      h("span", { class: "top", "aria-hidden": "true" }, words(top))),
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", null, begin), h("span", null, "now")));
}

// nice is the least round number that is not below n.
function nice(n) {
  if (!(n > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(n));
  return [1, 1.5, 2, 3, 5, 7.5, 10].find((f) => f * unit >= n) * unit;
}
