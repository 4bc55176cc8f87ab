// An API on Hono and Node with Latchkey inside: each request is judged in this process, with no network call.
// Usage: node examples/hono.mjs GATE_ENV CONTROL_URL [PORT]; GATE_ENV is what `latchkey gate-env` wrote. The first line that it
// prints is its URL.

import { serve } from '@hono/node-server';
import { getConnInfo } from '@hono/node-server/conninfo';
import { createGate } from '@latchkey/gate';
import { latchkey } from '@latchkey/gate/hono';
import { Hono } from 'hono';
import { readFileSync } from 'node:fs';

const [env, control, port = 0] = process.argv.slice(2);
const gate = createGate({
  trust: readFileSync(env, 'utf8'),
  source: { controlPlane: control },
  // Its token is LATCHKEY_USAGE_TOKEN of that file, which the operator fills in.
  usage: { controlPlane: control },
});
// Clients connect here themselves. Behind a proxy: `clientHeader` of the gate, with the header that the proxy sets.
const client = (c) => getConnInfo(c).remote.address;

const app = new Hono();
// Anybody may ask how the process is; a key may ask who it is.
app.get('/healthz', (c) => c.text('ok'));
app.get('/v1/whoami', (c) => gate.whoami(c.req.raw, { client: client(c) }));
// Here the application says what is needed, from what its handler acts on.
app.post('/internal/evaluate', latchkey(gate, { client, need: { permission: 'evaluations.create' } }), (c) =>
  c.json({ project: c.get('latchkey').project.slug, for: `key ${c.get('latchkey').key}` }),
);
// Everything below is judged by the operator's route rules.
app.use(latchkey(gate, { client }));
app.get('/v1/projects/:project/files', (c) => {
  const caller = c.get('latchkey');
  return c.json({ files: [], of: c.req.param('project'), project: caller.project.id, for: `key ${caller.key}` });
});

const server = serve({ fetch: app.fetch, port: Number(port), hostname: '127.0.0.1' }, ({ port }) => console.log(`http://127.0.0.1:${port}`));
process.on('SIGTERM', () => {
  // Once the running requests have ended, what they used is handed over.
  server.close(() => gate.close());
});
