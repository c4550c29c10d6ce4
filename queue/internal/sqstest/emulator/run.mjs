// Serves SQS on loopback, from memory: node run.mjs [port]. It prints the port and ends
// when its standard input does.
import { buildApp } from "fauxqs";

const app = buildApp({ logger: false });
await app.listen({ host: "127.0.0.1", port: Number(process.argv[2] ?? 0) });
console.log(app.server.address().port);
process.stdin.resume().on("close", () => process.exit(0)).on("error", () => process.exit(0));
