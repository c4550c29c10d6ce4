// Turns numbers and times into words.
import { h } from "./dom.js";

const whole = new Intl.NumberFormat("en-US");

// count is a number of things.
export const count = (n) => whole.format(n);

// zero is a number in a table, of which 0 is pale.
export const zero = (n, level) => (n ? h("span", { class: level || null }, count(n)) : h("span", { class: "zero" }, "0"));

// rate is requests per second.
export function rate(n) {
  if (n >= 100) return whole.format(Math.round(n)) + "/s";
  if (n >= 10) return String(+n.toFixed(1)) + "/s";
  if (n === 0) return "0/s";
  if (n >= 0.01) return String(+n.toFixed(2)) + "/s";
  return n.toPrecision(2) + "/s";
}

export const percent = (share) => (share < 0.1 ? +(100 * share).toFixed(2) : Math.round(100 * share)) + " %";

// lasts is a duration in seconds, in its two largest units.
export function lasts(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const from = units.findIndex(([u]) => s >= u);
  const [a, b] = [units[from], units[from + 1]];
  const rest = Math.floor((s % a[0]) / b[0]);
  return Math.floor(s / a[0]) + " " + a[1] + (rest ? " " + rest + " " + b[1] : "");
}

// ahead is by how many milliseconds the store's clock is ahead of this browser's.
let ahead = 0;
let stopped = null; // when the clock was stopped
export function clock(storeTime) {
  ahead = new Date(storeTime) - Date.now();
  stopped = null;
}
// stop has "ago" and "in" stand still, since nobody knows whether they are true.
export function stop() {
  if (stopped === null) stopped = Date.now();
}
const since = (time) => ((stopped === null ? Date.now() : stopped) + ahead - new Date(time)) / 1000;

// moment is a time in the reader's zone, which it names; today's without the date. It has the whole time as its title.
export function moment(time) {
  if (!time) return "";
  const d = new Date(time);
  const today = d.toDateString() === new Date().toDateString();
  const text = today ? d.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short" })
    : d.toLocaleString([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" });
  return h("time", { datetime: time, title: time }, text);
}

// ago and ahead of now, in words.
export const ago = (time) => (time ? lasts(since(time)) + " ago" : "");
export const left = (time) => (time ? (since(time) < 0 ? "in " + lasts(-since(time)) : "now") : "");
