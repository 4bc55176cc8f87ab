// The same application on Node with Hono, on Deno, and on Bun.
// Usage: HOST app.mjs STORE TRUST CONTROL_URL COPY

import { protect } from '@latchkey/gate';
import { latchkey } from '@latchkey/gate/hono';
import process from 'node:process';
import { made, seen } from './handler.mjs';

const [store, trust, control, copy] = process.argv.slice(2);
const gate = made(store, JSON.parse(trust), control, copy);
const hostname = '127.0.0.1';
const say = (port) => console.log(`http://${hostname}:${port}`);

if (globalThis.Deno) {
  Deno.serve({ hostname, port: 0, onListen: ({ port }) => say(port) }, protect(gate, seen));
} else if (globalThis.Bun) {
  say(Bun.serve({ hostname, port: 0, fetch: protect(gate, seen) }).port);
} else {
  const [{ Hono }, { serve }] = await Promise.all([import('hono'), import('@hono/node-server')]);
  const app = new Hono();
  app.use(latchkey(gate));
  app.all('*', (c) => seen(c.req.raw, c.get('latchkey')));
  serve({ fetch: app.fetch, port: 0, hostname }, ({ port }) => say(port));
}
