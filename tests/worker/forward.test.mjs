// Forward-auth: a proxy asks about a request before it passes it on.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FORWARD_TOKEN, Worker, bearer, fixture, raw, serving, until } from './support.mjs';

const VERIFY = '/.latchkey/verify';

let worker;
let stop;
before(async () => {
  ({ worker, stop } = await serving());
});
after(async () => {
  await stop?.();
});

const ask = (method, uri, headers = {}) =>
  worker.get(VERIFY, {
    'latchkey-forward-token': FORWARD_TOKEN,
    'x-original-method': method,
    'x-original-uri': uri,
    ...headers,
  });

test('a request that is let in is 200 with who calls', async () => {
  const answer = await ask('GET', '/v1/projects/alpha/models?page=2', bearer('alpha_member'));
  assert.equal(answer.status, 200, answer.text);
  const told = ['key', 'project', 'organization', 'role', 'generation'].map((name) => answer.headers.get(`latchkey-${name}`));
  assert.deepEqual(told, [fixture.keys.alpha_member.id, fixture.projects.alpha.id, fixture.organizations.Acme.id, 'member', '10']);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.text, '');
});

test('a refusal is the one that the gateway would give', async () => {
  for (const [method, uri, name, status, code] of [
    ['GET', '/v1/projects/beta/models', 'alpha_member', 404, 'not_found'],
    ['POST', '/v1/projects/alpha/clusters', 'alpha_member', 403, 'permission_denied'],
    ['GET', '/v1/projects/alpha/models', 'revoked', 401, 'revoked'],
    ['GET', '/v1/projects/alpha/models', 'made_up', 401, 'unauthenticated'],
    ['GET', '/nowhere', 'alpha_member', 404, 'not_found'],
    ['GET', '/v1/../v1/projects/alpha/models', 'alpha_member', 400, 'path_dot_segment'],
    ['GET', 'http://evil.example/v1/projects/alpha/models', 'alpha_member', 400, 'path_not_absolute'],
  ]) {
    const answer = await ask(method, uri, bearer(name));
    assert.deepEqual([answer.status, answer.json?.code], [status, code], `${uri}: ${answer.text}`);
    assert.equal(answer.headers.get('latchkey-key'), null);
    assert.equal(answer.headers.get('latchkey-problem'), answer.text, 'for a proxy that keeps the body back');
  }
  const anonymous = await ask('GET', '/v1/projects/alpha/models');
  assert.deepEqual([anonymous.status, anonymous.json.code], [401, 'unauthenticated']);
});

test('a header that no proxy would know for one to take away is refused', async () => {
  for (const name of ['latchkey_role', 'Latchkey.Key', 'x_original_url', 'X!Rewrite!URL', 'X-HTTP_Method_Override']) {
    const answer = await ask('GET', '/v1/projects/alpha/models', { ...bearer('alpha_member'), [name]: 'x' });
    assert.deepEqual([answer.status, answer.json?.code], [400, 'header_spelling'], name);
  }
});

test('only a caller with the token is answered', async () => {
  for (const token of ['', 'wrong', `${FORWARD_TOKEN}x`, FORWARD_TOKEN.slice(1)]) {
    const answer = await ask('GET', '/v1/projects/alpha/models', { ...bearer('alpha_member'), 'latchkey-forward-token': token });
    assert.deepEqual([answer.status, answer.json.code], [403, 'forward_token']);
  }
  const without = await worker.get(VERIFY, { ...bearer('alpha_member'), 'x-original-method': 'GET', 'x-original-uri': '/v1/projects/alpha/models' });
  assert.deepEqual([without.status, without.json.code], [403, 'forward_token']);
});

test('each header must be there exactly once', async () => {
  const good = {
    'Latchkey-Forward-Token': FORWARD_TOKEN,
    'X-Original-Method': 'GET',
    'X-Original-URI': '/v1/projects/alpha/models',
    Authorization: bearer('alpha_member').authorization,
  };
  assert.equal((await raw(worker.url, VERIFY, good)).status, 200);
  for (const [name, value] of [
    ['X-Original-Method', undefined],
    ['X-Original-URI', undefined],
    ['X-Original-Method', ['GET', 'GET']],
    ['X-Original-URI', ['/v1/projects/alpha/models', '/v1/projects/beta/models']],
    ['X-Original-URI', ['/v1/projects/alpha/models', '/v1/projects/alpha/models']],
    ['X-Original-URI', ''],
    ['X-Original-Method', 'get'],
    ['X-Original-Method', 'GET POST'],
    ['X-Original-URI', '/v1/projects/alpha/models, /x'],
  ]) {
    const headers = { ...good, [name]: value };
    if (value === undefined) delete headers[name];
    const { status, body } = await raw(worker.url, VERIFY, headers);
    assert.equal(status, 400, `${name}: ${value}: ${body}`);
    assert.match(body, /forward_headers/);
  }
  const twice = await raw(worker.url, VERIFY, { ...good, Authorization: [good.Authorization, good.Authorization] });
  assert.equal(twice.status, 401);
});

test('other families of headers are ignored', async () => {
  const others = {
    'x-forwarded-method': 'GET',
    'x-forwarded-uri': '/v1/projects/alpha/models',
    'x-original-url': '/v1/projects/alpha/models',
    'x-rewrite-url': '/v1/projects/alpha/models',
    'x-http-method-override': 'GET',
  };
  const refused = await ask('POST', '/v1/projects/alpha/clusters', { ...bearer('alpha_member'), ...others });
  assert.equal(refused.status, 403);
  const alone = await worker.get(VERIFY, { 'latchkey-forward-token': FORWARD_TOKEN, ...bearer('alpha_member'), ...others });
  assert.deepEqual([alone.status, alone.json.code], [400, 'forward_headers']);
});

test('without a forward token there is no such route, and the other family is read where it is set', async () => {
  const closed = await Worker.start({ variables: { LATCHKEY_FORWARD_TOKEN: undefined } });
  try {
    const answer = await closed.get(VERIFY, { 'latchkey-forward-token': FORWARD_TOKEN });
    assert.deepEqual([answer.status, answer.json.code], [404, 'not_found']);
  } finally {
    await closed.stop();
  }
  const other = await Worker.start({ variables: { LATCHKEY_FORWARD_HEADERS: 'x-forwarded' } });
  try {
    await other.publish('first');
    const headers = { 'latchkey-forward-token': FORWARD_TOKEN, ...bearer('alpha_member') };
    const good = { ...headers, 'x-forwarded-method': 'GET', 'x-forwarded-uri': '/v1/projects/alpha/models' };
    await until(async () => ((await other.get(VERIFY, good)).status === 200 ? true : undefined));
    const wrong = await other.get(VERIFY, { ...headers, 'x-original-method': 'GET', 'x-original-uri': '/v1/projects/alpha/models' });
    assert.deepEqual([wrong.status, wrong.json.code], [400, 'forward_headers']);
  } finally {
    await other.stop();
  }
});
