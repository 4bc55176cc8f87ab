// Sessions, keys of another system, and what keys are narrowed to, at the edge.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bearer, fixture, key, origin, raw, serving, session, sessionToken, until } from './support.mjs';

let upstream;
let worker;
let pulse;
let stop;
const asked = [];

before(async () => {
  upstream = await origin((request, response) => {
    asked.push({ url: request.url, headers: request.headers, raw: request.rawHeaders });
    response.end('reached');
  });
  ({ worker, pulse, stop } = await serving({ variables: { ORIGIN: upstream.url, LATCHKEY_CLIENT_HEADER: 'x-test-client' } }));
});
after(async () => {
  await stop?.();
  await upstream?.close();
});

const told = ({ status, json }) => [status, json?.code];
const post = (path, headers) => worker.request(path, { method: 'POST', headers });
const alpha = { 'latchkey-project': 'alpha' };

test('a session that is none, expired or ended is 401', async () => {
  const now = Math.floor(Date.now() / 1000);
  for (const [headers, code] of [
    [{ authorization: 'Bearer lkt_' }, 'unauthenticated'],
    [{ authorization: `Bearer ${sessionToken('member').slice(0, -1)}x` }, 'unauthenticated'],
    [session('member', { by: 'stranger' }), 'unauthenticated'],
    [session('member', { issued: now + 60 }), 'unauthenticated'],
    [session('member', { issued: now - 601 }), 'expired'],
    [session('signed_out'), 'revoked'],
  ]) {
    for (const path of ['/v1/shared/alpha', '/nowhere']) {
      const answer = await worker.get(path, headers);
      assert.deepEqual(told(answer), [401, code], answer.text);
      assert.match(answer.headers.get('www-authenticate'), /^Bearer/);
    }
  }
});

test('a session is let in by its project and told by its identity', async () => {
  for (const [path, headers] of [
    ['/v1/shared/alpha', {}],
    ['/v1/shared', alpha],
    ['/v1/shared', { 'latchkey-project': fixture.projects.alpha.id }],
  ]) {
    const answer = await worker.get(path, { ...session('member'), ...headers });
    assert.deepEqual([answer.status, answer.text], [200, 'reached']);
    const { headers: seen, raw: lines } = asked.at(-1);
    assert.equal(seen['latchkey-identity'], fixture.people.member.identity);
    assert.equal(seen['latchkey-project'], fixture.projects.alpha.id);
    assert.equal(seen['latchkey-organization'], fixture.organizations.Acme.id);
    assert.deepEqual([seen['latchkey-role'], seen['latchkey-key'], seen.authorization], ['member', undefined, undefined]);
    assert.ok(!lines.some((text) => text.includes('lkt_')));
  }
});

test('whoever is no collaborator, or names no project well, is refused', async () => {
  const cases = [
    ['unjoined', '/v1/shared/alpha', {}, 404, 'not_found'],
    ['member', '/v1/shared/beta', {}, 404, 'not_found'],
    ['member', '/v1/shared/nobody', {}, 404, 'not_found'],
    ['member', '/v1/shared', { 'latchkey-project': 'beta' }, 404, 'not_found'],
    ['member', '/v1/shared/alpha', { 'latchkey-project': 'beta' }, 404, 'not_found'],
    ['member', '/v1/shared', {}, 400, 'project_header_missing'],
    ['member', '/v1/named/x', alpha, 403, 'credential_kind'],
  ];
  for (const [name, path, headers, status, code] of cases) {
    const answer = await worker.get(path, { ...session(name), ...headers });
    assert.deepEqual(told(answer), [status, code], `${name} ${path}`);
  }
  const answer = await worker.request('/v1/shared', { method: 'DELETE', headers: { ...session('member'), ...alpha } });
  assert.deepEqual([...told(answer), answer.json.permission], [403, 'permission_denied', 'clusters.delete']);
  const admin = await worker.request('/v1/shared', { method: 'DELETE', headers: { ...session('admin'), ...alpha } });
  assert.equal(admin.status, 200);
  assert.equal((await worker.get('/v1/shared/alpha', session('external'))).status, 200);
});

test('whoami is for keys alone', async () => {
  const answer = await worker.get('/v1/whoami', session('member'));
  assert.deepEqual(told(answer), [403, 'key_needed']);
});

test('a route for sessions alone refuses keys', async () => {
  assert.deepEqual(told(await worker.get('/v1/manage', bearer('alpha_member'))), [403, 'credential_kind']);
  assert.equal((await worker.get('/v1/manage', { ...session('member'), ...alpha })).status, 200);
});

test('two project headers are refused, from a session and from a key', async () => {
  for (const authorization of [session('member').authorization, bearer('alpha_member').authorization]) {
    for (const second of ['alpha', 'beta']) {
      const before = asked.length;
      const { status, body } = await raw(worker.url, '/v1/shared', {
        Authorization: authorization,
        'Latchkey-Project': ['alpha', second],
      });
      assert.deepEqual([status, JSON.parse(body).code], [400, 'project_header_several']);
      assert.equal(asked.length, before);
    }
  }
  const other = await worker.get('/v1/shared', { ...bearer('alpha_member'), 'latchkey-project': 'beta' });
  assert.deepEqual(told(other), [404, 'not_found']);
  assert.equal((await worker.get('/v1/shared', { ...bearer('alpha_member'), ...alpha })).status, 200);
});

test('a collaborator who is removed inline is refused though the token is good', async () => {
  const headers = session('admin');
  assert.equal((await worker.get('/v1/shared/alpha', headers)).status, 200);
  const { collaboration_tag: tag } = fixture.people.admin;
  pulse.options = { inline: [{ generation: 11, tag }] };
  await until(async () => ((await worker.get('/v1/shared/alpha', headers)).status === 404 ? true : undefined));
  const member = session('member');
  const { session_tag } = fixture.people.member;
  pulse.options = { inline: [{ generation: 11, tag }, { generation: 12, tag: session_tag }] };
  await until(async () => {
    const answer = await worker.get('/v1/shared/alpha', member);
    return answer.json?.code === 'revoked' ? true : undefined;
  });
});

test('a key of another system works unchanged', async () => {
  const headers = { authorization: `Bearer ${fixture.imported.text}` };
  assert.equal((await worker.get('/v1/cached', headers)).status, 200);
  assert.equal(asked.at(-1).headers['latchkey-key'], fixture.imported.id);
  assert.equal((await worker.get('/v1/whoami', headers)).json.key.id, fixture.imported.id);
  for (const text of [`${fixture.imported.text}0`, fixture.imported.text.toUpperCase(), 'sk-none-0123456789']) {
    assert.deepEqual(told(await worker.get('/v1/cached', { authorization: `Bearer ${text}` })), [401, 'unauthenticated']);
  }
});

test('a key that is narrowed to networks is refused from elsewhere, and from nowhere', async () => {
  for (const [client, status] of [
    [undefined, 403],
    ['10.2.0.1', 403],
    ['::ffff:10.2.0.1', 403],
    ['2001:db9::1', 403],
    ['10.1.0.1, 10.1.0.2', 403],
    ['10.1.0.1:80', 403],
    ['nonsense', 403],
    ['10.1.255.1', 200],
    ['::ffff:10.1.0.1', 200],
    ['2001:db8:1::1', 200],
  ]) {
    const headers = client === undefined ? {} : { 'x-test-client': client };
    // What Cloudflare says of the client counts only where it is the header that is read.
    const answer = await worker.get('/v1/cached', { ...bearer('in_network'), ...headers, 'cf-connecting-ip': '10.1.0.1' });
    assert.equal(answer.status, status, client);
    if (status === 403) assert.equal(answer.json.code, 'network_not_allowed');
  }
  const { status } = await raw(worker.url, '/v1/cached', {
    Authorization: `Bearer ${key('in_network')}`,
    'X-Test-Client': ['10.1.0.1', '10.1.0.1'],
  });
  assert.equal(status, 403);
});

test('a key that is narrowed to models must say which, once', async () => {
  for (const [headers, status] of [
    [{}, 403],
    [{ 'x-model': 'meta/llama-33' }, 403],
    [{ 'x-model': 'meta/llama-3' }, 200],
  ]) {
    const answer = await post('/v1/chat', { ...bearer('of_model'), ...headers });
    assert.equal(answer.status, status, JSON.stringify(headers));
    if (status === 403) assert.equal(answer.json.code, 'narrowed');
  }
  const twice = { Authorization: `Bearer ${key('of_model')}`, 'X-Model': ['meta/llama-3', 'meta/other'] };
  assert.equal((await raw(worker.url, '/v1/chat', twice, 'POST')).status, 403);
  assert.deepEqual(told(await post('/v1/echo', { ...bearer('of_model'), 'x-model': 'meta/llama-3' })), [403, 'narrowed']);
});

test('a key out of budget is refused what costs money and nothing else', async () => {
  assert.deepEqual(told(await worker.get('/v1/cached', bearer('spent'))), [402, 'budget_exhausted']);
  assert.deepEqual(told(await post('/v1/shared', bearer('spent'))), [402, 'budget_exhausted']);
  assert.equal((await worker.get('/v1/shared', bearer('spent'))).status, 200);
  assert.equal((await worker.whoami('spent')).status, 200);
});

test('a key with a rate is refused beyond it', async () => {
  const answers = [];
  for (let at = 0; at < 40; at += 1) answers.push(await worker.get('/v1/cached', bearer('slow')));
  const limited = answers.filter(({ status }) => status === 429);
  assert.ok(answers.slice(0, 10).every(({ status }) => status === 200), answers.map(({ status }) => status).join());
  // A minute may begin among them.
  assert.ok(limited.length >= 20, `${limited.length}`);
  assert.deepEqual([limited[0].json.code, limited[0].headers.get('retry-after')], ['rate_limited', '60']);
  assert.ok((await worker.edgeStatus()).details.answers.rate_limited >= limited.length);
  assert.equal((await worker.get('/v1/cached', bearer('alpha_member'))).status, 200);
});
