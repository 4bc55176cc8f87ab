// What two readers of one request could read in two ways, sent to the real workerd as it is: it reaches no origin, or with one meaning.
// Paths, queries and the headers of the gate's own are in gateway.test.mjs and rules.test.mjs; proxies in front in tests/peers.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { bearer, fixture, key, raw, serving } from './support.mjs';

const MODELS = '/v1/projects/alpha/models';

let upstream;
let worker;
let stop;
/** All that the origin heard, a text a connection, each of which has one request. */
const asked = [];
/** What the origin says before its answer. */
let hints = '';

/** An origin that looks at bytes alone, so that no reader of Node's tidies up what it is asked. */
async function plainOrigin() {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    let at;
    // Whoever has gone away needs no answer.
    socket.on('error', () => {});
    socket.on('data', (data) => {
      if (at !== undefined) {
        asked[at] += data.toString('latin1');
        return;
      }
      at = asked.push(data.toString('latin1')) - 1;
      socket.write(`${hints}HTTP/1.1 200 OK\r\ncontent-length: 7\r\nx-kept: yes\r\nconnection: close\r\n\r\nreached`);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

before(async () => {
  upstream = await plainOrigin();
  ({ worker, stop } = await serving({ variables: { ORIGIN: upstream.url } }));
});
after(async () => {
  await stop?.();
  await upstream?.close();
});

const good = `Bearer ${key('alpha_member')}`;

async function refused(statuses, headers, { method = 'GET', target = MODELS, body } = {}) {
  const before = asked.length;
  const { status, front } = await raw(worker.url, target, headers, method, { body });
  const said = `${method} ${target} ${JSON.stringify(headers).slice(0, 200)}`;
  assert.ok(statuses.includes(status), `${said}: ${front}`);
  assert.deepEqual(asked.slice(before), [], said);
}

test('a credential that could be read in two ways is none', async () => {
  for (const headers of [
    { Authorization: [good, good] },
    { Authorization: [good, 'Bearer x'] },
    { Authorization: good, aUTHORIZATION: 'Bearer x' },
    { AUTHORIZATION: 'Bearer x', authorization: good },
    { Authorization: `Bearer x, ${good}` },
    { Authorization: `${good}, ${good}` },
    { Authorization: `Bearer x\r\n ${good}` },
    { Authorization: `Bearer x\r\n\t${key('alpha_member')}` },
    { Authorization: `Bearer  ${key('alpha_member')}` },
    { 'Authorization ': good },
    { ' Authorization': good },
    { Authorization_: good },
    { 'Proxy-Authorization': good },
    { 'X-Authorization': good },
    { Cookie: `authorization=${good}` },
  ]) {
    await refused([400, 401], headers);
  }
});

test('a folded credential is refused, or it is the one that it spells', async () => {
  const before = asked.length;
  const { status } = await raw(worker.url, MODELS, { Authorization: `Bearer\r\n ${key('alpha_member')}` });
  if (status === 200) assert.ok(asked.at(-1).toLowerCase().includes(`latchkey-key: ${fixture.keys.alpha_member.id}`.toLowerCase()));
  else assert.deepEqual([[400, 401].includes(status), asked.length], [true, before], `${status}`);
});

test('headers that are too long or too many reach nobody in part', async () => {
  await refused([400, 413, 431], { Authorization: good, 'X-Huge': 'x'.repeat(1 << 20) });
  await refused([400, 401, 413, 431], { Authorization: `${good}${'x'.repeat(100_000)}` });
  const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`X-${at}`, 'many']));
  await refused([400, 413, 431], { ...many, Authorization: good });
  // What fits goes on whole.
  const { status } = await raw(worker.url, MODELS, { 'X-Long': 'x'.repeat(8000), Authorization: good });
  assert.equal(status, 200);
  assert.ok(asked.at(-1).toLowerCase().includes(`x-long: ${'x'.repeat(8000)}\r\n`));
});

test('no second request comes out of a body, whatever its lengths', async () => {
  const inner = 'GET /v1/manage HTTP/1.1\r\nHost: x\r\n\r\n';
  const chunked = `0\r\n\r\n${inner}`;
  const before = asked.length;
  for (const [headers, body] of [
    [{ 'Content-Length': `${chunked.length}`, 'Transfer-Encoding': 'chunked' }, chunked],
    [{ 'Transfer-Encoding': 'chunked', 'Content-Length': '0' }, chunked],
    [{ 'Content-Length': ['0', `${inner.length}`] }, inner],
    [{ 'Content-Length': `+${inner.length}` }, inner],
    [{ 'Content-Length': `0, ${inner.length}` }, inner],
    [{ 'Transfer-Encoding': ['chunked', 'identity'] }, chunked],
    [{ 'Transfer-Encoding': 'chunked, identity' }, chunked],
    [{ 'Transfer-Encoding': 'xchunked' }, chunked],
    [{ 'Transfer-Encoding ': 'chunked' }, chunked],
    [{ 'Transfer-Encoding': '\r\n chunked' }, chunked],
  ]) {
    await raw(worker.url, '/v1/echo', { Authorization: good, ...headers }, 'POST', { body }).catch(() => {});
  }
  const whole = await raw(worker.url, '/v1/echo', { Authorization: good, 'Content-Length': '5' }, 'POST', { body: 'hello' });
  assert.equal(whole.status, 200);
  const heard = asked.slice(before);
  assert.ok(heard.length > 0);
  for (const text of heard) {
    const [front] = text.split('\r\n\r\n');
    assert.match(front, /^POST \/v1\/echo HTTP\/1\.1\r\n/);
    assert.equal((front.match(/^(content-length|transfer-encoding)/gim) ?? []).length, 1, front);
  }
});

test('early hints of the origin change no answer and say nothing in our name', async () => {
  for (const said of [
    'HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nLatchkey-Role: evil\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLatchkey-Key: evil\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.1 102 Processing\r\nLatchkey-Generation: 999\r\n\r\n',
  ]) {
    hints = said;
    const answer = await raw(worker.url, MODELS, { Authorization: good });
    hints = '';
    assert.equal(answer.status, 200, answer.front);
    assert.equal(answer.body, 'reached');
    assert.doesNotMatch(answer.front, /evil|999/);
    assert.match(answer.front, /latchkey-generation: 10\r\n/i);
    // Nobody else is given what came behind them.
    const next = await worker.get(MODELS, bearer('beta_member'));
    assert.equal(next.status, 404);
    const after = await worker.get(MODELS, bearer('alpha_member'));
    assert.deepEqual([after.status, after.text], [200, 'reached']);
  }
});
