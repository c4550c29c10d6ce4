// Knows whether the server answers from which the page comes.
import { clock, stop, moment } from "./words.js";

let heard = null; // when it has sent something last
let now = null; // what it has sent

export const silence = 60000; // milliseconds; it sends something every 20 s

export function hears(overview) {
  heard = Date.now();
  now = overview;
  clock(overview.time || heard);
}

export const quiet = () => heard !== null && Date.now() - heard > silence;

// at is a time as text.
export const at = (time) => moment(time).textContent;

// lost stops what counts down.
export const lost = () => stop();

// away says that it does not answer.
export function away() {
  if (!now) return "The server of this page does not answer.";
  const since = at(new Date(heard).toISOString());
  if (!now.server.works) return `The server of this page (process ${now.server.pid} on ${now.server.host}) has not answered since ${since}. What you see is old.`;
  return `The worker that serves this page (process ${now.server.pid} on ${now.server.host}) has not answered since ${since}. Unless another one runs, nothing is sent. Start it: pacer worker, or systemctl start pacer.`;
}
