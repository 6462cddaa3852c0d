// An agent in ten lines, with nothing of ours:  npm install @nats-io/transport-node
// NATS_URL=nats://user:password@host:port node agent.mjs SUBJECT INPUT [SUBJECT INPUT ...]   prints a reply a line
import { connect } from "@nats-io/transport-node";

const { host, username, password } = new URL(process.env.NATS_URL);
const nats = await connect({ servers: host, user: username, pass: password });
for (let i = 2; i < process.argv.length; i += 2) {
  const reply = await nats.request(process.argv[i], process.argv[i + 1], { timeout: 31_000 });
  console.log(reply.headers?.get("Nats-Service-Error") || reply.string());
}
await nats.close();
