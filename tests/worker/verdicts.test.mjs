// What the edge answers: whoami, and the refusals in their order.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Worker, bearer, fixture, key, raw, serving, until } from './support.mjs';

let worker;
let pulse;
let stop;
before(async () => {
  ({ worker, pulse, stop } = await serving());
});
after(async () => {
  // Tests put others in its place.
  await pulse?.stop();
  await stop?.();
});

/** Waits until a key is answered so; the edge learns within its bound. */
function becomes(name, status, code) {
  return until(async () => {
    const answer = await worker.whoami(name);
    assert.deepEqual([answer.status, answer.json?.code], [status, code], answer.text);
    return answer;
  });
}

function refused(answer, status, code) {
  assert.deepEqual([answer.status, answer.json?.code], [status, code], answer.text);
  assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.json.status, status);
  assert.equal(answer.json.type, `urn:latchkey:problem:${code}`);
}

test('before anything was published there is 503 with Retry-After, never 401', async () => {
  // Its own Worker: this one is being published to.
  const empty = await Worker.start();
  try {
    const answer = await empty.whoami('alpha_member');
    refused(answer, 503, 'no_snapshot');
    assert.equal(answer.headers.get('retry-after'), '1');
    assert.equal((await empty.get('/.latchkey/status')).json.health, 'cold');
    refused(await empty.get('/v1/whoami'), 401, 'unauthenticated');
  } finally {
    await empty.stop();
  }
});

test('whoami names key, project, organization, role and permissions', async () => {
  const answer = await becomes('alpha_member', 200);
  const { permissions, ...told } = answer.json;
  assert.deepEqual(told, {
    key: { id: fixture.keys.alpha_member.id },
    project: { id: fixture.projects.alpha.id, slug: 'alpha', name: 'Alpha' },
    organization: { id: fixture.organizations.Acme.id, name: 'Acme' },
    role: 'member',
    expires_at: '2034-08-24T02:40:00Z',
    generation: 10,
  });
  assert.ok(permissions.includes('models.view') && !permissions.includes('clusters.create'));
  assert.ok(permissions.every((word) => !/^(keys|collaborators|org)\./.test(word)));
  assert.equal(answer.headers.get('latchkey-generation'), '10');
  assert.ok(Number(answer.headers.get('latchkey-age')) < 4000);
  assert.equal(answer.headers.get('latchkey-stale'), null);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  const admin = await becomes('alpha_admin', 200);
  assert.ok(admin.json.permissions.includes('clusters.create'));
});

test('many requests to an edge that is cold are all answered', async () => {
  const cold = await Worker.start();
  try {
    await cold.publish('first');
    const answers = await Promise.all(Array.from({ length: 40 }, () => cold.whoami('alpha_member')));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    const { details } = await cold.edgeStatus();
    // One that had to wait for names is judged once more after the wait.
    assert.ok(details.answers.allowed >= 40 && details.answers.allowed <= 80, `${details.answers.allowed}`);
  } finally {
    await cold.stop();
  }
});

test('unknown, malformed and missing credentials get one body', async () => {
  const values = [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    `Basic ${key('alpha_member')}`,
    key('alpha_member'),
    `Bearer  ${key('alpha_member')}`,
    `Bearer ${key('alpha_member')} x`,
    `Bearer ${key('alpha_member').slice(0, -1)}`,
    `Bearer ${key('alpha_member').slice(0, -1)}~`,
    `Bearer x${key('alpha_member')}`,
    `Bearer ${key('made_up')}`,
    `Bearer ${key('unknown')}`,
    `Bearer ${'a'.repeat(4000)}`,
  ];
  const bodies = new Set();
  for (const value of values) {
    const answer = await worker.get('/v1/whoami', value === undefined ? {} : { authorization: value });
    refused(answer, 401, 'unauthenticated');
    assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
    bodies.add(answer.text);
  }
  assert.equal(bodies.size, 1);
});

test('the scheme is read in any case', async () => {
  assert.equal((await worker.get('/v1/whoami', { authorization: `bEARER ${key('alpha_member')}` })).status, 200);
});

test('two Authorization headers are refused, whatever is in them', async () => {
  const good = `Bearer ${key('alpha_member')}`;
  for (const pair of [[good, good], [good, 'Bearer x'], ['x', good]]) {
    const { status, body } = await raw(worker.url, '/v1/whoami', { Authorization: pair });
    assert.equal(status, 401, body);
    assert.match(body, /"unauthenticated"/);
  }
});

test('a cookie is no credential', async () => {
  refused(await worker.get('/v1/whoami', { cookie: `session=${key('alpha_member')}` }), 401, 'unauthenticated');
});

test('a key that is proven and out of force is told why', async () => {
  for (const [name, code] of [['expired', 'expired'], ['revoked', 'revoked'], ['disabled', 'disabled'], ['suspended', 'suspended'], ['archived', 'suspended']]) {
    const answer = await worker.whoami(name);
    refused(answer, 401, code);
    assert.equal(answer.headers.get('www-authenticate'), 'Bearer error="invalid_token"');
  }
});

test('a key of one project is told nothing of another', async () => {
  for (const project of ['beta', fixture.projects.beta.id, 'nowhere', 'proj_0000000000000000', 'BETA', 'b']) {
    const answer = await worker.get(`/v1/projects/${project}/models`, bearer('alpha_member'));
    refused(answer, 404, 'not_found');
  }
  const own = await worker.get(`/v1/projects/alpha/models`, bearer('alpha_member'));
  refused(own, 503, 'no_origin');
  refused(await worker.get(`/v1/projects/${fixture.projects.alpha.id}/models`, bearer('alpha_member')), 503, 'no_origin');
});

test('a route without a rule is 404 for a proven key and 401 for anybody else', async () => {
  for (const path of ['/', '/v1', '/v1/unknown', '/v1/projects/alpha/secrets', '/.latchke']) {
    refused(await worker.get(path, bearer('alpha_member')), 404, 'not_found');
    refused(await worker.get(path), 401, 'unauthenticated');
    refused(await worker.get(path, bearer('revoked')), 401, 'revoked');
  }
  const other = await worker.request('/v1/projects/alpha/models', { method: 'PATCH', headers: bearer('alpha_member') });
  refused(other, 404, 'not_found');
});

test('a missing permission is named', async () => {
  const create = (name) => worker.request('/v1/projects/alpha/clusters', { method: 'POST', headers: bearer(name) });
  const answer = await create('alpha_member');
  refused(answer, 403, 'permission_denied');
  assert.equal(answer.json.permission, 'clusters.create');
  refused(await create('alpha_admin'), 503, 'no_origin');
});

test('a resource is looked for in the project that was named', async () => {
  refused(await worker.get('/v1/projects/alpha/files/file-1', bearer('alpha_member')), 503, 'no_origin');
  refused(await worker.get('/v1/projects/alpha/files/file-2', bearer('alpha_member')), 404, 'not_found');
  refused(await worker.get('/v1/projects/beta/files/file-1', bearer('beta_member')), 404, 'not_found');
});

test('a key made later is found by asking at once', async () => {
  refused(await worker.whoami('late'), 401, 'unauthenticated');
  await pulse.stop();
  await worker.publish('second');
  const answer = await becomes('late', 200);
  assert.equal(answer.json.generation, 11);
});

test('a revocation that rides in the head applies before its objects came', async () => {
  await becomes('alpha_admin', 200);
  const inline = [{ generation: 12, tag: fixture.keys.alpha_admin.tag }];
  const start = performance.now();
  assert.equal((await worker.publish('second', { inline })).status, 200);
  const answer = await becomes('alpha_admin', 401, 'revoked');
  assert.ok(performance.now() - start < 5000, 'within the bound');
  // The generation it rode in is not reached by it: what was granted before may still be on its way.
  assert.equal(answer.headers.get('latchkey-generation'), '11');
  assert.equal((await worker.whoami('alpha_member')).status, 200);
});

test('a minimum generation is waited for, and a forged one is ignored', async () => {
  const inline = [{ generation: 12, tag: fixture.keys.alpha_admin.tag }];
  pulse = worker.keepFresh('second', { inline });
  await until(async () => ((await worker.edgeStatus()).stale ? undefined : true));
  const ask = (token) => worker.whoami('alpha_member', { 'latchkey-min-generation': token });
  assert.equal((await ask(fixture.tokens[11])).status, 200);
  refused(await ask(fixture.tokens[12]), 503, 'generation_not_reached');
  const answer = await ask(fixture.tokens[15]);
  refused(answer, 503, 'generation_not_reached');
  assert.equal(answer.headers.get('retry-after'), '1');
  for (const forged of ['15', '99999', fixture.tokens[15].replace(/.$/, '0'), `${fixture.tokens[15]}, x`, '']) {
    assert.equal((await ask(forged)).status, 200, forged);
  }
  // Only after the credential was proven.
  refused(await worker.get('/v1/whoami', { 'latchkey-min-generation': fixture.tokens[15] }), 401, 'unauthenticated');
});

test('disabling and enabling come with the pages', async () => {
  await pulse.stop();
  pulse = worker.keepFresh('third');
  await becomes('alpha_member', 401, 'disabled');
  // The inline revocation's generation is reached, and the pages know nothing of it: they decide.
  await becomes('alpha_admin', 200);
  await pulse.stop();
  pulse = worker.keepFresh('restored');
  const answer = await becomes('alpha_member', 200);
  assert.equal(answer.json.generation, 14);
});

test('heads that a hub would never take do not reach the edge either', async () => {
  const { details } = await worker.edgeStatus();
  assert.equal(details.heads.refused, 0);
  assert.equal(details.objects_refused, 0);
});

test('the status tells counters to the push token alone', async () => {
  const open = (await worker.get('/.latchkey/status')).json;
  assert.deepEqual(Object.keys(open).sort(), ['age_ms', 'generation', 'health', 'stale', 'version']);
  assert.equal(open.health, 'fresh');
  const { details } = await worker.edgeStatus();
  assert.ok(details.answers.allowed > 0 && details.rules.count > 0);
  assert.equal((await worker.request('/.latchkey/status', { method: 'POST' })).status, 405);
});

test('no key and no secret is in the log', () => {
  const log = worker.logged();
  for (const { text } of Object.values(fixture.keys)) assert.ok(!log.includes(text.slice(15, 42)));
  assert.ok(!log.includes(fixture.pepper) && !log.includes(fixture.mint));
});
