// Opens a real browser, for scripts that are run as: node SCRIPT URL [SCENE] [FOLDER FOR PICTURES].
import { chromium } from "playwright-core";

export const [url, scene, pictures] = process.argv.slice(2);
export const faults = [];
export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// visit opens a tab that notes what must not be: requests to another host, errors, and what the policy forbids. It shares
// no cookie and no connection with another, as if it were a browser of its own.
export async function visit(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("request", (r) => r.url().startsWith(url + "/") || faults.push("a request to " + r.url()));
  page.on("pageerror", (e) => faults.push("an error in the page: " + e.message));
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && faults.push("the console says: " + m.text()));
  return page;
}

const drawn = (page, name) => page.waitForSelector(`#main[data-page="${name.split("/")[0]}"]`, { timeout: 15000 }).catch(async (err) => {
  throw new Error(`${name} is not drawn; faults: ${faults}; the page says: ${await page.evaluate(() => document.body.innerText)}`, { cause: err });
});

// go opens a page, and waits until it is drawn.
export async function go(page, name) {
  await page.goto(`${url}/#${name}`);
  await drawn(page, name);
}

// countEvents makes a tab count the events that its page has heard: window.heard.
export const countEvents = (page) => page.addInitScript(() => {
  window.heard = 0;
  window.EventSource = class extends EventSource {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", () => window.heard++);
    }
  };
});

// countAsked makes a tab count its questions, window.questions, and those that are not wholly answered: window.asked.
export const countAsked = (page) => page.addInitScript(() => {
  window.questions = window.asked = 0;
  const ask = window.fetch;
  window.fetch = async (...args) => {
    window.questions++;
    window.asked++;
    try {
      const answer = await ask(...args);
      return new Response(await answer.text(), answer);
    } finally {
      setTimeout(() => window.asked--); // when the page has drawn the answer, and may have asked again
    }
  };
});
