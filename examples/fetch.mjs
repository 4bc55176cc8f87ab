// An API on a bare fetch handler with Latchkey inside, for Deno and Bun.
// Usage: deno run -A examples/fetch.mjs GATE_ENV CONTROL_URL [PORT], or the same with `bun run`. GATE_ENV is what
// `latchkey gate-env` wrote. The first line that it prints is its URL.

import { createGate, protect } from '@latchkey/gate';
import { readFileSync } from 'node:fs';
import process from 'node:process';

const [env, control, port = 0] = process.argv.slice(2);
const gate = createGate({
  trust: readFileSync(env, 'utf8'),
  source: { controlPlane: control },
  // Its token is LATCHKEY_USAGE_TOKEN of that file, which the operator fills in.
  usage: { controlPlane: control },
});

// What the host hands over behind the request is where the client's address is.
const client = (request, host) => globalThis.Deno ? host.remoteAddr.hostname : host.requestIP(request)?.address;

const files = protect(
  gate,
  (request, caller) => Response.json({ files: [], project: caller.project.id, for: `key ${caller.key}` }),
  { client },
);
// Here the application says what is needed, from what its handler acts on.
const evaluate = protect(
  gate,
  (request, caller) => Response.json({ project: caller.project.slug, for: `key ${caller.key}` }),
  { client, need: { permission: 'evaluations.create' } },
);

function answer(request, host) {
  const { pathname } = new URL(request.url);
  if (pathname === '/healthz') return new Response('ok');
  if (pathname === '/v1/whoami') return gate.whoami(request, { client: client(request, host) });
  if (pathname === '/internal/evaluate' && request.method === 'POST') return evaluate(request, host);
  // By the operator's route rules.
  return files(request, host);
}

const hostname = '127.0.0.1';
if (globalThis.Deno) {
  Deno.serve({ hostname, port: Number(port), onListen: ({ port }) => console.log(`http://${hostname}:${port}`) }, answer);
} else {
  const server = Bun.serve({ hostname, port: Number(port), fetch: answer });
  console.log(`http://${hostname}:${server.port}`);
}
