// Usage: what was let in and went on reaches the control plane, whatever is lost on the way, and nothing else does.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FORWARD_TOKEN, Worker, bearer, fixture, origin, serving, session, until } from './support.mjs';

const TOKEN = 'lku_a usage token for the tests only';

let upstream;
let control;
let worker;
let stop;
/** What the control plane was brought, the newest last. */
const brought = [];
/** The answer to the next batches. */
let answers = [];

before(async () => {
  upstream = await origin((request, response) => response.end('reached'));
  control = await origin((request, response) => {
    let text = '';
    request.on('data', (data) => (text += data));
    request.on('end', () => {
      brought.push({ url: request.url, method: request.method, headers: request.headers, batch: JSON.parse(text) });
      response.writeHead(answers.shift() ?? 200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  ({ worker, stop } = await serving({
    variables: { ORIGIN: upstream.url, LATCHKEY_CONTROL_URL: control.url, LATCHKEY_USAGE_TOKEN: TOKEN },
  }));
});
after(async () => {
  await stop?.();
  await upstream?.close();
  await control?.close();
});

const usage = async () => (await worker.hubStatus()).usage;

test('what went on is brought, once, as the control plane takes it', async () => {
  answers = [503];
  for (let at = 0; at < 3; at += 1) assert.equal((await worker.get('/v1/cached', bearer('alpha_member'))).status, 200);
  assert.equal((await worker.get('/v1/shared/alpha', session('member'))).status, 200);
  const verified = await worker.get('/.latchkey/verify', {
    ...bearer('alpha_member'),
    'latchkey-forward-token': FORWARD_TOKEN,
    'x-original-method': 'GET',
    'x-original-uri': '/v1/cached',
  });
  assert.equal(verified.status, 200);
  // None of these is anybody's use.
  await worker.whoami('alpha_member');
  await worker.get('/v1/cached', bearer('spent'));
  await worker.get('/v1/cached', bearer('revoked'));
  await worker.get('/nowhere', bearer('alpha_member'));
  await worker.get('/v1/cached', session('member'));
  await until(() => (brought.length >= 2 ? true : undefined), 25_000);
  await until(async () => ((await usage()).waiting === 0 ? true : undefined));
  // Refused once, sent again: the same batch under the same id.
  assert.equal(brought.length, 2);
  assert.deepEqual(brought[0].batch, brought[1].batch);
  const { url, method, headers, batch } = brought[1];
  assert.deepEqual([method, url, headers.authorization], ['POST', '/v1/usage/batches', `Bearer ${TOKEN}`]);
  assert.match(headers['content-type'], /^application\/json/);
  assert.match(batch.id, /^[0-9a-f]{32}$/);
  const today = new Date().toISOString().slice(0, 10);
  const line = ({ subject, project, permission, requests }) => ({ subject, project, permission, requests });
  const expected = [
    { subject: { key: fixture.keys.alpha_member.id }, project: 10, permission: 'inference.invoke', requests: 4 },
    { subject: { identity: fixture.people.member.identity }, project: 10, permission: 'files.view', requests: 1 },
  ];
  assert.deepEqual(batch.lines.map(line), expected);
  for (const { day, last_at } of batch.lines) {
    assert.match(last_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.ok(last_at.startsWith(day) && (day === today || day < today));
  }
});

test('a batch that the control plane will never take is kept aside and counted', async () => {
  const { set_aside: before } = await usage();
  answers = [422];
  const so_far = brought.length;
  assert.equal((await worker.get('/v1/cached', bearer('beta_member'))).status, 200);
  await until(async () => ((await usage()).set_aside === before + 1 ? true : undefined), 25_000);
  assert.equal(brought.length, so_far + 1);
  assert.equal((await usage()).waiting, 0);
});

test('the token that brings usage is in no answer and no log', async () => {
  assert.ok(!worker.logged().includes(TOKEN));
  assert.ok(!JSON.stringify([await worker.hubStatus(), await worker.edgeStatus()]).includes(TOKEN));
  assert.equal((await worker.edgeStatus()).usage.lost, 0);
});

test('nobody reaches the hub with usage from outside', async () => {
  const id = '0'.repeat(32);
  for (const path of [`/usage/${id}`, `/.latchkey/usage/${id}`, `/.latchkey/push/usage/${id}`]) {
    const answer = await worker.request(path, { method: 'PUT', body: '{}', headers: bearer('alpha_member') });
    assert.ok([401, 404].includes(answer.status), `${path}: ${answer.status}`);
  }
});

test('without a control plane nothing is counted', async () => {
  const other = await Worker.start({ variables: { ORIGIN: upstream.url } });
  const beat = other.keepFresh('first');
  try {
    await until(async () => ((await other.get('/v1/cached', bearer('alpha_member'))).status === 200 ? true : undefined));
    assert.equal((await other.edgeStatus()).usage, null);
    assert.deepEqual((await other.hubStatus()).usage, { waiting: 0, set_aside: 0 });
  } finally {
    await beat.stop();
    await other.stop();
  }
});
