// Route rules beyond method and path: hosts, queries, headers, bodies, public routes, shadows, pages in browsers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bearer, fixture, FORWARD_TOKEN, key, origin, PUSH_TOKEN, raw, serving } from './support.mjs';

let upstream;
let worker;
let stop;
/** What the origin was asked, the newest last. */
const asked = [];

before(async () => {
  upstream = await origin(async (request, response) => {
    let length = 0;
    const chunks = [];
    for await (const chunk of request) {
      length += chunk.length;
      if (chunks.length < 4) chunks.push(chunk);
    }
    const body = Buffer.concat(chunks).toString().slice(0, 200);
    asked.push({ method: request.method, url: request.url, headers: request.headers, length, body });
    response.setHeader('access-control-allow-origin', 'https://of-the-origin.example');
    response.end('the origin');
  });
  ({ worker, stop } = await serving({ variables: { ORIGIN: upstream.url, LATCHKEY_FORWARD_TOKEN: FORWARD_TOKEN } }));
});
after(async () => {
  await stop?.();
  await upstream?.close();
});

const code = (answer) => JSON.parse(answer.text).code;
const post = (body, headers = {}) => worker.request('/v1/body', { method: 'POST', body, headers });

test('query that could be read in two ways never reaches the origin', async () => {
  const before = asked.length;
  for (const query of [
    'project=alpha&project=beta', 'project=alpha&PROJECT=beta', 'project=alpha&pro%6Aect=beta', 'project[]=alpha',
    'project=alpha;project=beta', 'x=1;project=beta&project=alpha', 'project=al+pha', 'project=alpha%00', 'project=alpha&project',
  ]) {
    const answer = await worker.get(`/v1/query?${query}`, bearer('alpha_member'));
    assert.deepEqual([answer.status, code(answer)], [400, 'query_ambiguous'], query);
  }
  const unnamed = await worker.get('/v1/query?x=project', bearer('alpha_member'));
  assert.deepEqual([unnamed.status, code(unnamed)], [400, 'project_unnamed']);
  for (const query of ['project=beta', 'project=nobody']) {
    const answer = await worker.get(`/v1/query?${query}`, bearer('alpha_member'));
    assert.deepEqual([answer.status, code(answer)], [404, 'not_found'], query);
  }
  assert.equal(asked.length, before);
  const path = '/v1/query?a=1;2&project=alpha&b';
  assert.equal((await worker.get(path, bearer('alpha_member'))).status, 200);
  assert.equal(asked.at(-1).url, path);
});

test('header that names the project stands once, and under no second spelling', async () => {
  const authorization = `Bearer ${key('alpha_member')}`;
  const ask = (headers) => raw(worker.url, '/v1/header', { Authorization: authorization, ...headers });
  for (const headers of [{}, { 'X-Project': ['alpha', 'alpha'] }, { 'X-Project': 'alpha', X_Project: 'beta' }]) {
    const answer = await ask(headers);
    assert.equal(answer.status, 400, JSON.stringify(headers));
  }
  assert.equal((await ask({ 'X-Project': 'beta' })).status, 404);
  assert.equal((await ask({ 'X-Project': 'alpha' })).status, 200);
});

test('body is looked into for keys that are narrowed to models, and goes on whole', async () => {
  const before = asked.length;
  for (const body of ['', '[]', '{}', '{"model":"meta/llama-3","model":"meta/llama-3"}', '{"Model":"meta/llama-3"}', '{"model":1}']) {
    const answer = await post(body, bearer('of_model'));
    assert.deepEqual([answer.status, code(answer)], [403, 'narrowed'], body);
  }
  const other = await post('{"model":"meta/llama-4"}', bearer('of_model'));
  assert.deepEqual([other.status, code(other)], [403, 'narrowed']);
  const late = await post(`{"x":"${'y'.repeat(70_000)}","model":"meta/llama-3"}`, bearer('of_model'));
  assert.equal(late.status, 403);
  const packed = await post('{"model":"meta/llama-3"}', { ...bearer('of_model'), 'content-encoding': 'gzip' });
  assert.equal(packed.status, 403);
  assert.equal(asked.length, before);

  const small = '{"model":"meta/llama-3","x":1}';
  assert.equal((await post(small, { ...bearer('of_model'), 'latchkey-model': 'evil' })).status, 200);
  assert.deepEqual([asked.at(-1).body, asked.at(-1).headers['latchkey-model']], [small, 'meta/llama-3']);
  const large = `{"model":"meta/llama-3","x":"${'y'.repeat(300_000)}"}`;
  assert.equal((await post(large, bearer('of_model'))).status, 200);
  assert.equal(asked.at(-1).length, large.length);
  // Nobody looks into the body of a key that is not narrowed.
  assert.equal((await post('no JSON', { ...bearer('alpha_member'), 'latchkey-model': 'evil' })).status, 200);
  assert.equal(asked.at(-1).headers['latchkey-model'], undefined);
});

test('rules of a host are for that host alone', async () => {
  const verify = (host) => worker.get('/.latchkey/verify', {
    ...bearer('alpha_member'), 'latchkey-forward-token': FORWARD_TOKEN, 'x-original-method': 'GET', 'x-original-uri': '/v1/hosted',
    ...(host && { 'x-original-host': host }),
  });
  for (const host of ['admin.example', 'ADMIN.example:443', 'admin.example.']) assert.equal((await verify(host)).status, 403, host);
  for (const host of [undefined, 'example', 'beta.example', 'nobody.example', 'alpha.example, alpha.example']) {
    assert.equal((await verify(host)).status, 404, host);
  }
  assert.equal((await verify('alpha.example')).status, 200);
});

test('public route names nobody, and takes the credential away', async () => {
  for (const headers of [{}, bearer('revoked'), bearer('alpha_member'), { authorization: 'Basic x' }, { 'latchkey-role': 'admin' }]) {
    assert.equal((await worker.get('/v1/public', headers)).status, 200);
    const seen = asked.at(-1).headers;
    assert.deepEqual([seen.authorization, seen['latchkey-role'], seen['latchkey-key']], [undefined, undefined, undefined]);
  }
  assert.equal((await worker.request('/v1/public', { method: 'POST' })).status, 401);
  assert.equal((await worker.get('/v1/publi%63')).status, 401);
});

test('credential goes on only where the rule says so', async () => {
  assert.equal((await worker.get('/v1/kept', bearer('alpha_member'))).status, 200);
  assert.equal(asked.at(-1).headers.authorization, `Bearer ${key('alpha_member')}`);
  assert.equal(asked.at(-1).headers['latchkey-key'], fixture.keys.alpha_member.id);
});

test('shadow lets pass, counts what it hides, and names nobody whom it would refuse', async () => {
  const ask = (headers) => worker.request('/v1/shadow', { method: 'DELETE', headers });
  for (const headers of [{}, bearer('alpha_member'), bearer('revoked')]) {
    assert.equal((await ask(headers)).status, 200);
    assert.deepEqual([asked.at(-1).headers.authorization, asked.at(-1).headers['latchkey-key']], [headers.authorization, undefined]);
  }
  assert.equal((await ask(bearer('alpha_admin'))).status, 200);
  assert.equal(asked.at(-1).headers['latchkey-key'], fixture.keys.alpha_admin.id);
  assert.equal(asked.at(-1).headers.authorization, `Bearer ${key('alpha_admin')}`);
  const { json: status } = await worker.get('/.latchkey/status', { authorization: `Bearer ${PUSH_TOKEN}` });
  const counts = status.details.answers;
  assert.deepEqual(
    ['shadow:credential_missing', 'shadow:permission_denied', 'shadow:revoked'].map((cause) => counts[cause]), [1, 1, 1]);
  assert.match(status.details.rules.version, /^[0-9a-f]{64}$/);
});

test('pages of the origins that the rules name may call, and no others', async () => {
  const preflight = (from, path, method) => worker.request(path, {
    method: 'OPTIONS', headers: { origin: from, 'access-control-request-method': method },
  });
  const evil = await preflight('https://evil.example', '/v1/echo', 'POST');
  assert.deepEqual([evil.status, evil.headers.get('access-control-allow-origin')], [403, null]);
  for (const [path, method] of [['/v1/none', 'POST'], ['/v1/echo', 'PUT'], ['/v1/echo', '']]) {
    assert.equal((await preflight('https://app.example', path, method)).status, 401, path);
  }
  const good = await preflight('https://app.example', '/v1/echo', 'POST');
  assert.equal(good.status, 204);
  const told = ['allow-origin', 'allow-methods', 'allow-headers', 'max-age'].map((name) => good.headers.get(`access-control-${name}`));
  assert.deepEqual(told, ['https://app.example', 'POST', 'authorization', '600']);
  assert.match(good.headers.get('vary'), /origin/i);

  const read = async (from, headers) => {
    const answer = await worker.get('/v1/query?project=alpha', { origin: from, ...headers });
    return ['allow-origin', 'expose-headers'].map((name) => answer.headers.get(`access-control-${name}`));
  };
  assert.deepEqual(await read('https://evil.example', {}), [null, null]);
  // A refusal can be read too, or a page could not tell why.
  assert.deepEqual(await read('https://app.example', {}), ['https://app.example', 'latchkey-stale']);
  assert.deepEqual(await read('https://app.example', bearer('alpha_member')), ['https://app.example', 'latchkey-stale']);
});
