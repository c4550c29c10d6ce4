// Talks to the server the page comes from. Paths are relative, so that it works wherever it is mounted.
import { away, quiet } from "./server.js";

async function ask(path, options) {
  const r = await fetch(path, options).catch(() => {
    throw new Error(away());
  });
  if (r.status === 401) {
    location.reload();
    throw new Error("signed out");
  }
  if (!r.ok) throw new Error((await r.text()).trim() || "status " + r.status);
  return r.json();
}

// get gives up when no answer can come any more. The server answers within 20 seconds, or says that it cannot.
export const get = (path) => ask(path, { signal: AbortSignal.timeout(30000) });
export const post = (path, body) => ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// listen calls news with each overview, and lost when the server does not answer. Where there is no stream left it asks instead.
export function listen(news, lost) {
  const source = new EventSource("events");
  source.onmessage = (e) => news(JSON.parse(e.data));
  source.onerror = async () => {
    try {
      news(await get("api/overview"));
    } catch {
      lost();
    }
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(news, lost), 5000);
  };
}

// watch calls lost when nothing was heard for long, as from a machine without power.
export const watch = (lost) => setInterval(() => quiet() && lost(), 5000);
