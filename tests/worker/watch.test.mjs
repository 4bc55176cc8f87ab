// What takes long is judged again: streams, uploads and WebSockets end when the caller would no longer be let in.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { bearer, fixture, key, origin, raw, serving, until } from './support.mjs';

/** Judged every 5 s, and a revocation is here within a second; the rest is a busy machine. */
const ENDS_MS = 15_000;

let upstream;
let worker;
let pulse;
let stop;
/** Set by each test. */
let answerWith;
let upgraded;

before(async () => {
  upstream = await origin((request, response) => answerWith(request, response));
  upstream.server.on('upgrade', (request, socket) => upgraded(request, socket));
  ({ worker, pulse, stop } = await serving({ variables: { ORIGIN: upstream.url } }));
  // There is one key more in it.
  pulse.edition = 'second';
  await until(async () => ((await worker.whoami('late')).status === 200 ? true : undefined));
});
after(async () => {
  await stop?.();
  await upstream?.close();
});

const revoked = [];
const revoke = (name) => {
  revoked.push({ generation: 12 + revoked.length, tag: fixture.keys[name].tag });
  pulse.options = { inline: [...revoked] };
};

test('a stream of a key that is revoked ends, and that of another goes on', async () => {
  const closed = new Set();
  answerWith = (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const timer = setInterval(() => response.write('data: more\n\n'), 100);
    response.on('close', () => {
      clearInterval(timer);
      closed.add(request.headers['latchkey-key']);
    });
  };
  const open = async (name) => {
    const response = await fetch(`${worker.url}/v1/stream`, { headers: bearer(name) });
    assert.equal(response.status, 200);
    const stream = { pieces: 0, ended: false, reader: response.body.getReader() };
    stream.reading = (async () => {
      try {
        while (!(await stream.reader.read()).done) stream.pieces += 1;
      } catch {}
      stream.ended = true;
    })();
    return stream;
  };
  const [ours, theirs] = await Promise.all([open('alpha_admin'), open('alpha_member')]);
  await until(async () => (ours.pieces > 0 && theirs.pieces > 0 ? true : undefined));
  revoke('alpha_admin');
  await until(async () => (ours.ended ? true : undefined), ENDS_MS);
  await until(async () => (closed.has(fixture.keys.alpha_admin.id) ? true : undefined));
  const before = theirs.pieces;
  await until(async () => (theirs.pieces > before + 5 ? true : undefined));
  assert.equal(theirs.ended, false);
  await theirs.reader.cancel();
  await until(async () => (closed.has(fixture.keys.alpha_member.id) ? true : undefined));
  const { answers, rejudged } = (await worker.edgeStatus()).details;
  assert.equal(answers.revoked, 0, 'it was no answer');
  assert.equal(rejudged.refused, 1);
});

test('an upload of a key that is revoked is refused, and its origin hears no more of it', async () => {
  let heard = 0;
  let closed = false;
  answerWith = (request) => {
    request.on('data', (data) => (heard += data.length));
    request.on('error', () => {});
    request.on('close', () => (closed = true));
  };
  let goesOn = true;
  const body = new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      if (goesOn) controller.enqueue(new TextEncoder().encode('more'));
      else controller.close();
    },
  });
  const answer = worker.request('/v1/echo', { method: 'POST', headers: bearer('beta_member'), body });
  await until(async () => (heard > 0 ? true : undefined));
  revoke('beta_member');
  const { status, json } = await answer;
  goesOn = false;
  assert.deepEqual([status, json.code], [401, 'revoked']);
  await until(async () => (closed ? true : undefined));
});

test('an origin that takes longer than until its caller is judged again is heard all the same', async () => {
  answerWith = (_, response) => setTimeout(() => response.writeHead(201).end('at last'), 6000);
  const { status, text } = await worker.request('/v1/stream', { headers: bearer('alpha_member') });
  assert.deepEqual([status, text], [201, 'at last']);
});

test('a body goes through whole, with its length, whether it is watched or not', async () => {
  for (const length of [9000, 3 << 20]) {
    const body = Buffer.alloc(length, 'latchkey ');
    answerWith = (_, response) => response.setHeader('content-length', body.length) && response.end(body);
    const { front, body: text } = await raw(worker.url, '/v1/stream', { Authorization: bearer('alpha_member').authorization });
    assert.match(front, new RegExp(`content-length: ${length}`, 'i'));
    assert.deepEqual(Buffer.from(text, 'latin1'), body);
  }
});

test('what is compressed goes through as it is, in pieces and whole', async () => {
  const zipped = gzipSync(Buffer.from('latchkey '.repeat(100_000)), { level: 1 });
  for (const length of [undefined, zipped.length]) {
    answerWith = (_, response) => {
      response.setHeader('content-encoding', 'gzip');
      if (length) response.setHeader('content-length', length);
      response.write(zipped.subarray(0, 100));
      response.end(zipped.subarray(100));
    };
    const headers = { authorization: `Bearer ${key('alpha_member')}`, 'accept-encoding': 'gzip' };
    const { front, body } = await raw(worker.url, '/v1/stream', headers);
    assert.match(front, /content-encoding: gzip/i);
    const bytes = /transfer-encoding: chunked/i.test(front) ? dechunked(body) : Buffer.from(body, 'latin1');
    assert.deepEqual(gunzipSync(bytes), gunzipSync(zipped));
  }
});

function dechunked(text) {
  const chunks = [];
  for (let rest = Buffer.from(text, 'latin1'); ; ) {
    const end = rest.indexOf('\r\n');
    const length = Number.parseInt(rest.toString('latin1', 0, end), 16);
    if (!length) return Buffer.concat(chunks);
    chunks.push(rest.subarray(end + 2, end + 2 + length));
    rest = rest.subarray(end + 4 + length);
  }
}

// WebSockets: an origin that sends back what it gets, without a library, of which it needs short frames alone.

/** Answers an upgrade; what is told of the connection is kept in what is returned. */
function echo(request, socket) {
  const name = request.headers['sec-websocket-key'];
  const accept = createHash('sha1').update(`${name}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  const told = { closedWith: undefined, ended: false, socket };
  let held = Buffer.alloc(0);
  socket.on('data', (data) => {
    held = Buffer.concat([held, data]);
    while (held.length >= 6 && held.length >= 6 + (held[1] & 127)) {
      const length = held[1] & 127;
      const payload = held.subarray(6, 6 + length).map((byte, index) => byte ^ held[2 + (index % 4)]);
      const opcode = held[0] & 15;
      held = held.subarray(6 + length);
      if (opcode === 8) told.closedWith = length >= 2 ? payload.readUInt16BE(0) : 1005;
      if ([1, 2, 8].includes(opcode)) socket.write(frame(opcode, payload));
    }
  });
  socket.on('close', () => (told.ended = true));
  socket.on('error', () => {});
  return told;
}

const frame = (opcode, payload) => Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload]);

/** A socket through the gateway, and what was told of it at both ends. */
async function connect(name) {
  let there;
  upgraded = (request, socket) => (there = echo(request, socket));
  const socket = new WebSocket(`${worker.url.replace('http', 'ws')}/v1/socket`, { headers: bearer(name) });
  socket.binaryType = 'arraybuffer';
  const here = { said: [], closed: undefined };
  socket.addEventListener('message', ({ data }) => here.said.push(data));
  socket.addEventListener('close', ({ code, reason }) => (here.closed = { code, reason }));
  await until(async () => (socket.readyState === WebSocket.OPEN ? true : undefined));
  return { socket, here, there };
}

test('a WebSocket carries text and bytes both ways', async () => {
  const { socket, here, there } = await connect('alpha_member');
  socket.send('text');
  socket.send(new Uint8Array([0, 255, 7]));
  await until(async () => (here.said.length === 2 ? true : undefined));
  assert.equal(here.said[0], 'text');
  assert.deepEqual(new Uint8Array(here.said[1]), new Uint8Array([0, 255, 7]));
  socket.close(4002, 'enough');
  await until(async () => (there.closedWith ? true : undefined));
  assert.equal(there.closedWith, 4002);
  await until(async () => (here.closed ? true : undefined));
});

test('what the origin closes a WebSocket with is what the caller hears', async () => {
  const { here, there } = await connect('alpha_member');
  there.socket.write(frame(8, Buffer.concat([Buffer.from([4001 >> 8, 4001 & 255]), Buffer.from('bye')])));
  await until(async () => (here.closed ? true : undefined));
  assert.deepEqual(here.closed, { code: 4001, reason: 'bye' });
});

test('a caller that is gone is gone for the origin too', async () => {
  const { there, socket } = await connect('alpha_member');
  socket.close();
  await until(async () => (there.closedWith || there.ended ? true : undefined));
});

test('a WebSocket of a key that is revoked is closed, and that of another goes on', async () => {
  const ours = await connect('late');
  const theirs = await connect('alpha_member');
  revoke('late');
  await until(async () => (ours.here.closed ? true : undefined), ENDS_MS);
  assert.equal(ours.here.closed.code, 1008);
  await until(async () => (ours.there.closedWith || ours.there.ended ? true : undefined));
  theirs.socket.send('still here');
  await until(async () => (theirs.here.said.includes('still here') ? true : undefined));
  theirs.socket.close();
});
