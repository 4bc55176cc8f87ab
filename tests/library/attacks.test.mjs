// What an attacker, a broken source or a careless application does, and that nobody is let in by it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGate, protect } from '@latchkey/gate';
import { latchkey } from '@latchkey/gate/hono';
import { Place, bearer, gate, key, session, trust, until } from './support.mjs';

const URL_OF = 'http://api.example/v1/projects/alpha/models';
const request = (headers = {}, init = {}) => new Request(init.url ?? URL_OF, { ...init, headers });

async function refused(verdict, status, code) {
  assert.deepEqual([verdict.allowed, verdict.status, verdict.code], [false, status, code]);
  const response = verdict.response();
  assert.equal(response.status, status);
  assert.match(response.headers.get('content-type'), /^application\/problem\+json/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const body = await response.json();
  assert.deepEqual([body.status, body.code, body.type], [status, code, `urn:latchkey:problem:${code}`]);
}

test('a source that throws, hangs, lies or floods lets nobody in', async () => {
  const good = new Place();
  const never = () => new Promise(() => {});
  const thrower = () => {
    throw new Error('at once');
  };
  const bad = {
    'throws at once': { head: thrower, root: thrower, object: thrower },
    'rejects': { head: async () => thrower(), root: never, object: never },
    'never settles': { head: never, root: never, object: never },
    'gives no promise': { head: () => 1, root: () => 1, object: () => 1 },
    'gives nothing': { head: async () => null, root: async () => null, object: async () => undefined },
    'gives no bytes': { head: async () => 'head', root: async () => ({}), object: async () => [1, 2] },
    'gives an array that says it is bytes': {
      head: async () => ({ length: 10, byteLength: 10 }),
      root: never,
      object: never,
    },
    'gives junk': { head: async () => new Uint8Array(100), root: never, object: never },
    'floods heads': { head: async () => new Uint8Array(100 << 20), root: never, object: never },
    'floods objects': { head: () => good.head(), root: never, object: async () => new Uint8Array(100 << 20) },
    'gives other objects': { head: () => good.head(), root: never, object: async () => new Uint8Array(100) },
    'never gives objects': { head: () => good.head(), root: never, object: never },
    'gives a head of another root': { head: async () => (await import('./support.mjs')).head('first', { rootVersion: 2, release: 'release_2', by: 'head_2' }), root: async () => new Uint8Array(10), object: never },
    'gives a head that a stranger signed': { head: async () => (await import('./support.mjs')).head('first', { release: 'stranger', by: 'stranger' }), root: never, object: never },
  };
  await Promise.all(
    Object.entries(bad).map(async ([name, source]) => {
      const verdict = await gate(source).check(request(bearer('alpha_member')));
      assert.equal(verdict.allowed, false, name);
      assert.equal(verdict.status, 503, name);
      assert.equal(verdict.response().headers.get('retry-after'), '1', name);
    }),
  );
});

test('a head that is old is not fresh, and past the grace nothing is told', async () => {
  const place = new Place('first', { asOf: Date.now() - 10_000 });
  const stale = await gate(place).check(request(bearer('alpha_member')));
  assert.deepEqual([stale.allowed, stale.stale], [true, true]);
  assert.equal(stale.share(new Response('')).headers.get('latchkey-stale'), '1');
  const old = new Place('first', { asOf: Date.now() - 1_000_000 });
  await refused(await gate(old).check(request(bearer('alpha_member'))), 503, 'snapshot_too_old');
  const ahead = new Place('first', { asOf: Date.now() + 60_000 });
  await refused(await gate(ahead).check(request(bearer('alpha_member'))), 503, 'no_snapshot');
});

test('credentials that are none get one body', async () => {
  const one = gate();
  const text = key('alpha_member');
  const values = ['', 'Bearer', text, `Basic ${text}`, `Bearer  ${text}`, `Bearer ${text} x`, `Bearer ${text}, Bearer ${text}`, `Bearer ${key('made_up')}`, `Bearer ${'a'.repeat(4000)}`];
  const bodies = new Set();
  for (const authorization of [undefined, ...values]) {
    const verdict = await one.check(request(authorization === undefined ? {} : { authorization }));
    await refused(verdict, 401, 'unauthenticated');
    bodies.add(await verdict.response().text());
  }
  const twice = new Headers(bearer('alpha_member'));
  twice.append('Authorization', bearer('alpha_admin').authorization);
  await refused(await one.check(request(twice)), 401, 'unauthenticated');
  assert.equal(bodies.size, 1);
});

test('paths that could be read in two ways are refused', async () => {
  const one = gate();
  for (const [path, status, code] of [
    ['/v1/projects//alpha/models', 400, 'path_empty_segment'],
    ['/v1/projects/alpha/models/', 400, 'path_empty_segment'],
    ['/v1/projects/alpha%2Fmodels', 400, 'path_encoded_slash'],
    ['/v1/projects/%61lpha/models', 400, 'path_needless_escape'],
    ['/v1/projects/alpha/models;a=b', 400, 'path_byte'],
    ['/v1/projects/alpha/models#x', 400, 'path_byte'],
    ['/v1/projects/alpha/models?a=1#x', 400, 'path_byte'],
    ['/v1/public?#', 400, 'path_byte'],
    ['#', 400, 'path_byte'],
    ['/v1/projects/beta/models', 404, 'not_found'],
    ['/v1/nowhere', 404, 'not_found'],
    // A URL has no dot segments once it is one: what is judged is what a handler sees.
    ['/v1/projects/alpha/x/../../beta/models', 404, 'not_found'],
    ['/v1/projects/alpha/%2e%2e/beta/models', 404, 'not_found'],
    ['/v1/projects\\beta/models', 404, 'not_found'],
  ]) {
    await refused(await one.check(request(bearer('alpha_member'), { url: `http://api.example${path}` })), status, code);
  }
});

test('a need is read to the letter or not at all', async () => {
  const one = gate();
  const asked = request(bearer('alpha_member'));
  const wrong = [
    null,
    [],
    'files.view',
    {},
    { permission: undefined },
    { permission: 'files.veiw' },
    { permission: 'files.view', project: undefined },
    { permission: 'files.view', project: null },
    { permission: 'files.view', project: 7 },
    { permission: 'files.view', project: () => 'beta' },
    { permission: 'files.view', project: Number.NaN },
    { permission: 'files.view', project: Symbol('beta') },
    { permission: 'inference.invoke', model: () => 'large' },
    { permission: 'files.view', projekt: 'beta' },
    { permission: 'files.read', resource: 'file-1' },
    { permission: 'files.read', resource: { type: 'file' } },
    { permission: 'files.read', resource: { type: 'file', id: undefined } },
    { permission: 'files.read', resource: { type: 'files', id: 'file-1' } },
    { permission: 'inference.invoke', model: { header: 'x' } },
    { permission: 'inference.invoke', model: {} },
    { permission: 'files.view', credentials: 'keys' },
    { permission: 'files.view', fresh: 'yes' },
    { permission: 'files.view', toJSON: () => ({ permission: 'files.view' }) },
  ];
  for (const need of wrong) await assert.rejects(one.check(asked, need), JSON.stringify(need));
  for (const [need, status] of [
    [{ permission: 'files.view' }, 200],
    [{ permission: 'files.view', project: 'alpha' }, 200],
    [{ permission: 'files.view', project: 'beta' }, 404],
    [{ permission: 'files.view', project: '' }, 404],
    [{ permission: 'clusters.create', project: 'alpha' }, 403],
    [{ permission: 'files.read', resource: { type: 'file', id: 'file-1' } }, 200],
    [{ permission: 'files.read', resource: { type: 'file', id: 'file-2' } }, 404],
    [{ permission: 'keys.create' }, 403],
    [{ permission: 'files.view', credentials: 'session' }, 403],
  ]) {
    const verdict = await one.check(asked, need);
    assert.equal(verdict.allowed ? 200 : verdict.status, status, JSON.stringify(need));
  }
});

test('nothing is said to be needed of a target with a `#`', async () => {
  for (const url of [`${URL_OF}#x`, `${URL_OF}?a=1#`, 'http://api.example#x']) {
    await refused(await gate().check(request(bearer('alpha_member'), { url }), { permission: 'files.view' }), 400, 'path_byte');
  }
});

test('what is put on the prototype of all objects opens nothing', async () => {
  const polluted = {
    allowed: true,
    how: 'public',
    project: 'alpha',
    permission: 'files.view',
    client: '10.0.0.1',
    clientHeader: 'x-client',
    need: { permission: 'files.view' },
    rate: () => true,
    onDecision: () => assert.fail('nobody asked for decisions'),
    decisions: 'all',
    copy: { load: () => assert.fail('nobody keeps a copy') },
    usage: { controlPlane: 'https://evil.example', token: 'x' },
    used: 'key x 1 files.view',
    controlPlane: 'https://evil.example',
    step: 'verdict',
    caller: {},
    toJSON: () => ({ permission: 'files.view' }),
  };
  for (const [name, value] of Object.entries(polluted)) {
    Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true });
  }
  try {
    const one = gate();
    const nobody = await one.check(request());
    assert.deepEqual([nobody.allowed, nobody.status, nobody.caller], [false, 401, null]);
    assert.equal((await one.check(request(bearer('alpha_member'), { url: 'http://api.example/v1/projects/beta/models' }))).allowed, false);
    const [member, admin] = [request(bearer('alpha_member')), { permission: 'clusters.create' }];
    assert.equal((await one.check(member, admin)).status, 403);
    assert.equal((await one.check(member, { permission: 'files.view', project: 'beta' })).status, 404);
    await assert.rejects(one.check(member, {}));
    const network = await one.check(request(bearer('in_network'), { method: 'GET' }), { permission: 'files.view' });
    assert.deepEqual([network.allowed, network.code], [false, 'network_not_allowed']);
    const guarded = protect(one, () => new Response('in'));
    assert.equal((await guarded(request())).status, 401);
  } finally {
    for (const name of Object.keys(polluted)) delete Object.prototype[name];
  }
});

test('nobody speaks in our name to a handler, nor a handler to a client', async () => {
  const sent = {
    ...bearer('alpha_member'),
    'Latchkey-Key': 'x',
    latchkey_role: 'admin',
    'LATCHKEY.PROJECT': 'beta',
    'X-HTTP-Method-Override': 'DELETE',
    'x-original-url': '/v1/manage',
    'x-kept': 'yes',
  };
  const guarded = protect(gate(), (seen, caller) => {
    const headers = Object.fromEntries(seen.headers);
    return Response.json({ headers, caller }, { headers: { 'latchkey-role': 'mine', latchkey_stale: '0', 'x-own': '1' } });
  });
  const response = await guarded(request(sent));
  const { headers, caller } = await response.json();
  assert.deepEqual(Object.keys(headers).sort(), ['latchkey-key', 'latchkey-organization', 'latchkey-project', 'latchkey-role', 'x-kept']);
  assert.equal(headers['latchkey-role'], 'member');
  assert.equal(headers['latchkey-key'], caller.key);
  assert.equal(caller.project.slug, 'alpha');
  assert.deepEqual([...response.headers.keys()].sort(), ['content-type', 'latchkey-age', 'latchkey-generation', 'x-own']);
});

test('headers of another response, which nobody may change, are replaced all the same', async () => {
  const guarded = protect(gate(), () => fetch('data:text/plain,told'));
  const response = await guarded(request(bearer('alpha_member')));
  assert.equal(await response.text(), 'told');
  assert.equal(response.headers.get('latchkey-generation'), '10');
});

test('an application that fails in its own part lets nobody in', async () => {
  const handler = () => new Response('in');
  const guards = [
    protect(() => { throw new Error('no secret is set'); }, handler),
    protect(gate(), handler, { need: () => { throw new Error('no such thing'); } }),
    protect(gate(), handler, { need: () => ({}) }),
    protect(gate(), handler, { need: () => undefined }),
    protect(gate(), handler, { client: () => { throw new Error('no socket'); } }),
  ];
  for (const guarded of guards) assert.equal((await guarded(request(bearer('alpha_member')))).status, 503);
});

test('a wrapper takes no option that it does not know, and no arrival that says nothing', async () => {
  const handler = () => new Response('in');
  for (const options of [{ needs: { permission: 'files.view' } }, { permission: 'files.view' }, { need: undefined }]) {
    assert.throws(() => protect(gate(), handler, options), TypeError);
    assert.throws(() => latchkey(gate(), options), TypeError);
  }
  class Context {
    waitUntil() {}
  }
  for (const arrival of [new Context(), { adress: '192.0.2.1' }]) {
    await assert.rejects(gate().check(request(bearer('alpha_member')), undefined, arrival), TypeError);
  }
});

test('what is told of failures, and what cannot be kept alive, breaks nothing', async () => {
  const warn = [() => { throw new Error('the log is closed'); }, async () => { throw new Error('the log is closed'); }];
  for (const one of warn.map((warn) => createGate({ trust: trust(), source: { head: () => { throw new Error('x'); }, object: () => null, root: () => null }, follow: false, warn }))) {
    const arrival = { waitUntil: () => { throw new TypeError('Illegal invocation'); } };
    assert.equal((await one.check(request(bearer('alpha_member')), undefined, arrival)).status, 503);
    assert.equal(one.broken, false);
  }
});

test('a response that a handler gives again stays as it was', async () => {
  const again = new Response(null, { status: 204, headers: { vary: 'origin' } });
  const guarded = protect(gate(), () => again);
  for (let at = 0; at < 3; at += 1) assert.equal((await guarded(request(bearer('alpha_member')))).status, 204);
  assert.deepEqual([...again.headers], [['vary', 'origin']]);
});

test('a token that cannot be sent is not told', () => {
  const source = { controlPlane: 'https://control.example', token: 'one\nand-a-secret' };
  assert.throws(() => createGate({ trust: trust(), source }), (error) => error instanceof TypeError && !error.message.includes('secret'));
});

test('a gate is not made of what is not understood', () => {
  const source = new Place();
  const good = trust();
  for (const options of [
    { trust: good },
    { source },
    { source: {}, trust: good },
    { source: { head: () => {} }, trust: good },
    { source: { controlPlane: 'http://control.example', token: 'x' }, trust: good },
    { source: { controlPlane: 'https://control.example' }, trust: good },
    { source: { controlPlane: 'https://user:x@control.example', token: 'x' }, trust: good },
    { source: { store: 'ftp://store.example' }, trust: good },
    { source: { store: 'nonsense' }, trust: good },
    { source, trust: {} },
    { source, trust: '' },
    { source, trust: { ...good, LATCHKEY_PEPPER: 'x' } },
    { source, trust: { ...good, LATCHKEY_PEPPER_2: good.LATCHKEY_PEPPER } },
    { source, trust: { ...good, LATCHKEY_ROOT: '***' } },
    { source, trust: { ...good, LATCHKEY_ROOT: 'AAAA' } },
    { source, trust: { ...good, LATCHKEY_FLOOR: '1' } },
    { source, trust: `${text(good)}SOMETHING=1\n` },
    { source, trust: `${text(good)}LATCHKEY_MINT=${good.LATCHKEY_MINT}\n` },
    { source, trust: good, memoryMb: 0 },
    { source, trust: good, graceSecs: 9 },
  ]) {
    assert.throws(() => createGate({ follow: false, ...options }), (error) => !error.message.includes(good.LATCHKEY_PEPPER));
  }
  createGate({ source, trust: text(good), follow: false });
});

const text = (all) => Object.entries(all).map(([name, value]) => `${name}=${value}\n`).join('');

test('a model is read in the body, with a cap, and the body goes on whole', async () => {
  const one = gate();
  const post = (body, headers = {}) => request({ ...bearer('of_model'), ...headers }, { url: 'http://api.example/v1/body', method: 'POST', body, duplex: 'half' });
  const said = JSON.stringify({ model: 'meta/llama-3' });
  const filler = `"x":"${'a'.repeat(70_000)}"`;
  for (const body of ['', '{}', 'nonsense', '{"model":"other"}', `{${filler},${said.slice(1)}`, said.replace('}', ',"Model":"other"}')]) {
    assert.equal((await one.check(post(body))).code, 'narrowed', body.slice(0, 40));
  }
  assert.equal((await one.check(post(said, { 'content-encoding': 'gzip' }))).code, 'narrowed');
  const long = `${said.slice(0, -1)},${filler}}`;
  const allowed = await one.check(post(long));
  assert.deepEqual([allowed.allowed, allowed.caller?.model, await allowed.request().text()], [true, 'meta/llama-3', long]);
  let stuck;
  const never = new ReadableStream({
    start: (stream) => {
      stuck = stream;
      stream.enqueue(new TextEncoder().encode(said.slice(0, 5)));
    },
  });
  const waits = one.check(post(never));
  const broken = new ReadableStream({ start: (stream) => stream.error(new Error('gone')) });
  assert.equal((await one.check(post(broken))).code, 'narrowed');
  assert.equal(await Promise.race([waits, new Promise((resolve) => setTimeout(resolve, 50, 'waits'))]), 'waits');
  const used = post(said);
  await used.text();
  assert.equal((await one.check(used)).code, 'narrowed');
});

test('a rate that cannot be counted is refused', async () => {
  const slow = () => request(bearer('slow'), { method: 'POST', url: 'http://api.example/v1/echo', body: '' });
  const code = async (options) => {
    const one = gate(new Place(), options);
    const verdict = await one.check(slow());
    return verdict.allowed ? 'in' : verdict.code;
  };
  assert.equal(await code({ rate: () => { throw new Error('down'); } }), 'rate_unenforceable');
  assert.equal(await code({ rate: async () => { throw new Error('down'); } }), 'rate_unenforceable');
  assert.equal(await code({ rate: () => 'yes' }), 'rate_unenforceable');
  assert.equal(await code({ rate: () => ({ success: true }) }), 'rate_unenforceable');
  assert.equal(await code({ rate: () => new Promise(() => {}) }), 'rate_unenforceable');
  assert.equal(await code({ rate: () => false }), 'rate_limited');
  assert.equal(await code({ rate: async (family, perMinute) => typeof family === 'string' && perMinute > 0 }), 'in');
  const counting = gate();
  const codes = [];
  for (let n = 0; n < 200; n += 1) {
    const verdict = await counting.check(slow());
    codes.push(verdict.allowed ? 'in' : verdict.code);
  }
  assert.ok(codes.includes('in') && codes.includes('rate_limited'), `${new Set(codes)}`);
});

test('a revoked key is refused though the gate was idle, and a session as its snapshot says', async () => {
  const place = new Place();
  const { fixture } = await import('./support.mjs');
  const one = gate(place);
  assert.equal((await one.check(request(bearer('alpha_member')))).allowed, true);
  place.publish('first', { inline: [{ generation: 11, tag: fixture.keys.alpha_member.tag }] });
  await until(async () => {
    await refused(await one.check(request(bearer('alpha_member'))), 401, 'revoked');
    return true;
  });
  const shared = request({ ...session(Object.keys(fixture.people)[0]) }, { url: 'http://api.example/v1/shared' });
  assert.equal((await one.check(shared)).code, 'project_header_missing');
});
