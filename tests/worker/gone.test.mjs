// Callers that go away while their request waits for its origin: nothing of theirs stays in the module's memory.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { bearer, origin, serving, until } from './support.mjs';

const AT_ONCE = 50;
/** What waits is judged again after five. */
const LATE_MS = 6000;
/** What each may have until the runtime collects it, in bytes. A future that was left behind would have seven thousand. */
const EACH_MAX = 2500;
const EACH_LATE_MAX = 5000;

let upstream;
let worker;
let stop;
/** Requests that the origin was asked and has not answered. */
let waiting = 0;

before(async () => {
  upstream = await origin((request) => {
    waiting += 1;
    request.on('error', () => {});
  });
  ({ worker, stop } = await serving({ variables: { ORIGIN: upstream.url } }));
});
after(async () => {
  await stop?.();
  await upstream?.close();
});
beforeEach(() => {
  waiting = 0;
});

const memory = async () => (await worker.edgeStatus()).details.linear_memory_bytes;

/** So many ask, and are gone after a while. */
async function comeAndGo(count, ms = 0) {
  const { hostname, port } = new URL(worker.url);
  const arrived = waiting + count;
  const sockets = Array.from({ length: count }, () => {
    const socket = net.connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write(`GET /v1/stream HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: ${bearer('alpha_member').authorization}\r\n\r\n`);
    return socket;
  });
  await until(async () => (waiting >= arrived ? true : undefined));
  await new Promise((resolve) => setTimeout(resolve, ms));
  for (const socket of sockets) socket.resetAndDestroy();
}

test('callers that go away before their origin answers leave no memory behind', async () => {
  await comeAndGo(AT_ONCE);
  const first = await memory();
  const rounds = 30;
  for (let round = 0; round < rounds; round += 1) await comeAndGo(AT_ONCE);
  const last = await memory();
  assert.ok(last - first < rounds * AT_ONCE * EACH_MAX, `${first} bytes became ${last}`);
});

test('those that go away once they were judged again leave none either', async () => {
  const count = 8 * AT_ONCE;
  await comeAndGo(count, LATE_MS);
  const first = await memory();
  await comeAndGo(count, LATE_MS);
  const last = await memory();
  assert.ok(last - first < count * EACH_LATE_MAX, `${first} bytes became ${last}`);
});
