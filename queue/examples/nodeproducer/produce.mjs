// Enqueues requests for a worker written in Go: XADD to the queue's intake. It needs
// nothing but Node; with the package redis it is one line (docs/redis.md).
//
//   node produce.mjs HOST PORT [HOW_MANY]
import net from "node:net";

const [host, port, howMany = "20"] = process.argv.slice(2);
const account = "AC0123456789abcdef0123456789abcdef"; // the fake's; yours for Twilio itself

function job(n) {
  return {
    request: {
      v: "1.0",
      method: "POST",
      url: `https://api.twilio.com/2010-04-01/Accounts/${account}/Messages.json`,
      form: { To: ["+1555555" + String(1000 + n)], From: ["+15005550006"], Body: [`Order ${n} is on its way. Grüße!`] },
      header: { "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json" },
    },
    unique: `order-${n}-shipped`,
    labels: { order: String(n) },
  };
}

// RESP: an array of strings, each with its length in bytes.
const command = (...args) => `*${args.length}\r\n` + args.map((a) => `$${Buffer.byteLength(a)}\r\n${a}\r\n`).join("");

const socket = net.connect(Number(port), host);
for (let n = 0; n < Number(howMany); n++) socket.write(command("XADD", "pacer:{queue}:in", "*", "job", JSON.stringify(job(n))));
socket.write(command("QUIT"));
let answer = "";
socket.on("data", (b) => (answer += b));
socket.on("error", (e) => { console.error("produce.mjs:", e.message); process.exitCode = 1; });
socket.on("close", () => {
  const ids = answer.match(/^\d+-\d+$/gm) ?? [];
  console.log(`produce.mjs: ${ids.length} of ${howMany} requests enqueued`);
  if (ids.length !== Number(howMany)) { console.error(answer.match(/^-.*$/m)?.[0] ?? answer); process.exitCode = 1; }
});
