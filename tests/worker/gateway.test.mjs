// The gateway: what reaches the origin, and what comes back from it.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { bearer, fixture, key, origin, raw, serving, until } from './support.mjs';

let upstream;
let worker;
let stop;
/** What the origin was asked, the newest last. */
const asked = [];
/** Set by a test that wants another answer. */
let answerWith;
/** Set by a test that wants to see the socket of an upgrade. */
let upgraded;

before(async () => {
  upstream = await origin((request, response) => {
    asked.push({ method: request.method, url: request.url, headers: request.headers, raw: request.rawHeaders });
    if (answerWith) return answerWith(request, response);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ url: request.url }));
  });
  upstream.server.on('upgrade', (request, socket) => upgraded(request, socket));
  ({ worker, stop } = await serving({ variables: { ORIGIN: upstream.url } }));
});
after(async () => {
  await stop?.();
  await upstream?.close();
});

async function through(handle, use) {
  answerWith = handle;
  try {
    return await use();
  } finally {
    answerWith = undefined;
  }
}

test('what is let in reaches the origin with who calls and without the key', async () => {
  const path = '/v1/projects/alpha/models?b=2&a=1&a=%20x';
  const answer = await worker.get(path, { ...bearer('alpha_member'), 'x-mine': 'kept', accept: 'text/plain' });
  assert.equal(answer.status, 200, answer.text);
  const { url, headers } = asked.at(-1);
  assert.equal(url, path);
  assert.equal(headers['latchkey-key'], fixture.keys.alpha_member.id);
  assert.equal(headers['latchkey-project'], fixture.projects.alpha.id);
  assert.equal(headers['latchkey-organization'], fixture.organizations.Acme.id);
  assert.equal(headers['latchkey-role'], 'member');
  assert.deepEqual([headers['x-mine'], headers.accept, headers.authorization], ['kept', 'text/plain', undefined]);
  assert.ok(!JSON.stringify(headers).includes(key('alpha_member')));
  assert.equal(answer.headers.get('latchkey-generation'), '10');
  assert.ok(Number(answer.headers.get('latchkey-age')) <= 4000);
  assert.equal(answer.headers.get('latchkey-key'), null);
});

test('the origin hears the host that was judged, and none that the caller makes up', async () => {
  const lies = { forwarded: 'host=lie.example', 'x-forwarded-host': 'lie.example', 'x-original-host': 'lie.example', 'x-forwarded-prefix': '/lie' };
  const answer = await worker.get('/v1/projects/alpha/models', { ...bearer('alpha_member'), ...lies });
  assert.equal(answer.status, 200, answer.text);
  const { headers } = asked.at(-1);
  assert.equal(headers['x-forwarded-host'], new URL(worker.url).host);
  assert.doesNotMatch(JSON.stringify(headers), /lie/);
});

test('what is refused never reaches the origin', async () => {
  const before = asked.length;
  const refusals = [
    worker.get('/v1/projects/beta/models', bearer('alpha_member')),
    worker.get('/v1/projects/alpha/models'),
    worker.get('/v1/projects/alpha/models', bearer('revoked')),
    worker.request('/v1/projects/alpha/clusters', { method: 'POST', headers: bearer('alpha_member') }),
    worker.get('/.latchkey/anything', bearer('alpha_member')),
    worker.get('/.latchkey/push/status', bearer('alpha_member')),
  ];
  for (const { status } of await Promise.all(refusals)) assert.ok([401, 403, 404].includes(status));
  assert.equal(asked.length, before);
});

test('Latchkey headers of the caller never reach the origin, whatever their spelling', async () => {
  const { status } = await raw(worker.url, '/v1/projects/alpha/models', {
    Authorization: `Bearer ${key('alpha_member')}`,
    'Latchkey-Role': 'admin',
    'LATCHKEY-ORGANIZATION': 'org_evil',
    Latchkey_Project: 'proj_evil',
    latchkey_role: 'admin',
    'Latchkey-Anything': 'x',
    'Latchkey_Forward-Token': 'x',
    'Latchkey.Role': 'admin',
    'X-HTTP-Method-Override': 'DELETE',
    X_Original_URL: '/admin',
    Latchkeeper: 'stays',
  });
  assert.equal(status, 200);
  const ours = asked.at(-1).raw.filter((text, index) => index % 2 === 0 && /^latchkey[^a-z]/i.test(text));
  assert.deepEqual(ours.map((name) => name.toLowerCase()).sort(), ['latchkey-key', 'latchkey-organization', 'latchkey-project', 'latchkey-role']);
  assert.equal(asked.at(-1).headers['latchkey-role'], 'member');
  assert.equal(asked.at(-1).headers.latchkeeper, 'stays');
  // Nor what makes another request of this one.
  assert.ok(!asked.at(-1).raw.some((text) => /override|original/i.test(text)));
});

test('Latchkey headers of the origin never reach the caller', async () => {
  const answer = await through(
    (_, response) => {
      response.writeHead(201, [
        ['Latchkey-Generation', '999'],
        ['latchkey-stale', '1'],
        ['Latchkey_Key', 'x'],
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
        ['x-origin', 'kept'],
      ].flat());
      response.end('made');
    },
    () => worker.get('/v1/projects/alpha/models', bearer('alpha_member')),
  );
  assert.deepEqual([answer.status, answer.text], [201, 'made']);
  assert.equal(answer.headers.get('latchkey-generation'), '10');
  assert.deepEqual([answer.headers.get('latchkey-stale'), answer.headers.get('latchkey_key')], [null, null]);
  assert.deepEqual(answer.headers.getSetCookie(), ['a=1', 'b=2']);
  assert.equal(answer.headers.get('x-origin'), 'kept');
});

test('redirects and errors of the origin come back as they are', async () => {
  const redirected = await through(
    (_, response) => response.writeHead(302, { location: 'http://elsewhere.example/' }).end(),
    () => worker.get('/v1/cached', bearer('alpha_member')),
  );
  assert.deepEqual([redirected.status, redirected.headers.get('location')], [302, 'http://elsewhere.example/']);
  for (const status of [204, 304, 404, 418, 500, 503]) {
    const answer = await through(
      (_, response) => response.writeHead(status).end(),
      () => worker.get('/v1/cached', bearer('alpha_member')),
    );
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get('latchkey-generation'), '10');
  }
});

test('a body goes through whole, both ways, with its length', async () => {
  const body = Buffer.alloc(3 << 20, 'latchkey ');
  let length;
  const answer = await through(
    (request, response) => {
      length = request.headers['content-length'];
      const digest = createHash('sha256');
      request.on('data', (data) => digest.update(data));
      request.on('end', () => response.end(digest.digest('hex')));
    },
    () => worker.request('/v1/echo', { method: 'POST', headers: bearer('alpha_member'), body }),
  );
  assert.deepEqual([answer.status, answer.text], [200, createHash('sha256').update(body).digest('hex')]);
  assert.equal(length, String(body.length));
});

test('a stream arrives piece by piece, not at its end', async () => {
  let finish;
  await through(
    (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: one\n\n');
      finish = () => response.end('data: two\n\n');
    },
    async () => {
      const response = await fetch(`${worker.url}/v1/stream`, { headers: bearer('alpha_member') });
      const reader = response.body.getReader();
      const first = await reader.read();
      assert.equal(new TextDecoder().decode(first.value), 'data: one\n\n');
      finish();
      assert.equal(new TextDecoder().decode((await reader.read()).value), 'data: two\n\n');
      assert.equal((await reader.read()).done, true);
    },
  );
});

test('one project never gets an answer that was made for another', async () => {
  const answers = await through(
    (request, response) => {
      response.setHeader('cache-control', 'public, max-age=600');
      response.end(request.headers['latchkey-project']);
    },
    async () => {
      const told = [];
      for (const name of ['alpha_member', 'beta_member', 'alpha_member', 'beta_member']) {
        told.push((await worker.get('/v1/cached', bearer(name))).text);
      }
      return told;
    },
  );
  const { alpha, beta } = fixture.projects;
  assert.deepEqual(answers, [alpha.id, beta.id, alpha.id, beta.id]);
});

test('a WebSocket goes through', async () => {
  const accept = (key) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  upgraded = (request, socket) => {
    asked.push({ url: request.url, headers: request.headers, raw: request.rawHeaders });
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept(request.headers['sec-websocket-key'])}\r\n\r\n`,
    );
    // A text frame of two bytes, unmasked, as a server sends it.
    socket.write(Buffer.from([0x81, 0x02, 0x68, 0x69]));
  };
  const headers = {
    Authorization: `Bearer ${key('alpha_member')}`,
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const { front, body } = await raw(worker.url, '/v1/socket', headers, 'GET', { connection: 'Upgrade', until: /\x02hi/ });
  assert.match(front, /^HTTP\/1\.1 101/);
  assert.ok(body.includes('hi'));
  assert.equal(asked.at(-1).headers['latchkey-key'], fixture.keys.alpha_member.id);
});

test('a path that could be read in two ways never reaches the origin', async () => {
  const attempts = [
    '/v1/projects/beta/../alpha/models',
    '/v1/projects/alpha/../beta/models',
    '/v1/projects/alpha/./models',
    '/v1/projects/alpha//models',
    '//v1/projects/alpha/models',
    '/v1/projects/alpha/models/',
    '/v1/projects/alpha/models/..',
    '/v1/projects/alpha%2Fmodels',
    '/v1/projects/alpha%2fmodels',
    '/v1/projects/alpha/%2e%2e/beta/models',
    '/v1/projects/alpha/%2E%2e/beta/models',
    '/v1/projects/alpha/.%2e/beta/models',
    '/v1/projects/alpha\\models',
    '/v1/projects\\..\\projects/alpha/models',
    '/v1/projects/alpha%5Cmodels',
    '/v1/projects/%61lpha/models',
    '/v1/projects/alpha/%6dodels',
    '/v1/projects/alpha/models%00',
    '/v1/projects/alpha/models%0a',
    '/v1/projects/alpha/models%',
    '/v1/projects/alpha/models%zz',
    '/v1/projects/alpha/models%ff',
    '/v1/projects/alpha/models;x',
    '/v1/projects/alpha;/models',
    '/V1/projects/alpha/models',
    '/v1/projects/ALPHA/models',
    '/v1/named/%252e%252e',
    '/v1/named/a%20b',
    '/v1/named/a+b',
    '/v1/named/%C3%A9',
  ];
  for (const target of attempts) {
    const before = asked.length;
    const { status } = await raw(worker.url, target, { Authorization: `Bearer ${key('alpha_member')}` });
    const reached = asked.slice(before).map(({ url }) => url);
    if (reached.length > 0) {
      // What comes in front of the script may tidy a path up before anybody sees it. Then the tidy path is what was
      // matched, and the origin got that and nothing else.
      const tidy = new URL(target, 'http://x').pathname;
      assert.deepEqual(reached, [tidy], target);
      assert.ok(tidy.startsWith('/v1/projects/alpha/models') || tidy.startsWith('/v1/named/'), target);
      assert.equal(status, 200);
    } else {
      assert.ok(status === 400 || status === 404, `${target}: ${status}`);
    }
  }
});

test('the query reaches the origin and decides nothing', async () => {
  for (const query of ['?', '?a', '?../../beta', '?a=%2e%2e&b=//', '?a=1?b=2', `?${'x'.repeat(3000)}`]) {
    const { status } = await raw(worker.url, `/v1/projects/alpha/models${query}`, { Authorization: `Bearer ${key('alpha_member')}` });
    assert.equal(status, 200, query);
    const { url } = asked.at(-1);
    assert.ok(url === `/v1/projects/alpha/models${query}` || (query === '?' && url === '/v1/projects/alpha/models'), url);
  }
});

test('an origin that is gone is 502', async () => {
  await upstream.close();
  const answer = await worker.get('/v1/cached', bearer('alpha_member'));
  assert.deepEqual([answer.status, answer.json?.code], [502, 'origin_unreachable'], answer.text);
  assert.equal(answer.headers.get('latchkey-generation'), '10');
  upstream = undefined;
});
