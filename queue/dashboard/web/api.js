// Talks to the server the page comes from. Paths are relative, so that it works wherever it is mounted.

async function answered(r) {
  if (r.status === 401) {
    location.reload();
    throw new Error("signed out");
  }
  if (!r.ok) throw new Error((await r.text()).trim() || "status " + r.status);
  return r.json();
}

export const get = async (path) => answered(await fetch(path));
export const post = async (path, body) => answered(await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }));

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
