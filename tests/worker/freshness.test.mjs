// The promise about freshness: the source goes silent, and comes back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Worker, bearer, until } from './support.mjs';

const BOUND_MS = 4000;
const GRACE_MS = 6000;

let worker;
before(async () => {
  worker = await Worker.start();
});
after(async () => {
  await worker?.stop();
});

const fresh = () =>
  until(async () => {
    const answer = await worker.whoami('alpha_member');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get('latchkey-stale'), null);
    return answer;
  });

const remove = () =>
  worker.request('/v1/projects/alpha/models/m', { method: 'DELETE', headers: bearer('alpha_member') });

test('an age is told with every answer and does not lie', async () => {
  const asOf = Date.now();
  await worker.publish('first', { asOf });
  const answer = await fresh();
  const age = Number(answer.headers.get('latchkey-age'));
  assert.ok(age >= 0 && age <= Date.now() - asOf, `${age}`);
});

test('when the source is silent past the bound, answers carry Latchkey-Stale and fresh-only is refused', async () => {
  await worker.publish('first');
  await fresh();
  const stale = await until(async () => {
    const answer = await worker.whoami('alpha_member');
    return answer.headers.get('latchkey-stale') === '1' ? answer : undefined;
  });
  assert.equal(stale.status, 200);
  assert.ok(Number(stale.headers.get('latchkey-age')) > BOUND_MS);
  const refused = await remove();
  assert.deepEqual([refused.status, refused.json.code], [503, 'not_fresh']);
  assert.equal(refused.headers.get('retry-after'), '1');
  assert.equal((await worker.get('/.latchkey/status')).json.health, 'stale');
  const unknown = await worker.whoami('unknown');
  assert.deepEqual([unknown.status, unknown.json.code], [503, 'stale_unknown'], 'never 401 for what it cannot tell');
  const revoked = await worker.whoami('revoked');
  assert.deepEqual([revoked.status, revoked.json.code], [401, 'revoked']);
});

test('an answer without Latchkey-Stale is never older than the bound', async () => {
  await worker.publish('first');
  await fresh();
  const end = Date.now() + BOUND_MS + 1500;
  while (Date.now() < end) {
    const answer = await worker.whoami('alpha_member');
    const age = Number(answer.headers.get('latchkey-age'));
    assert.equal(answer.headers.get('latchkey-stale') === '1', age > BOUND_MS, `${age}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test('it recovers by itself when the source comes back, fresh-only first', async () => {
  const pulse = worker.keepFresh('first');
  try {
    await fresh();
    const answer = await until(async () => {
      const answer = await remove();
      return answer.json.code === 'no_origin' ? answer : undefined;
    });
    assert.ok(Number(answer.headers.get('latchkey-age')) <= 1000);
  } finally {
    await pulse.stop();
  }
});

test('an idle edge asks before it answers, so nothing revoked passes once more', async () => {
  const pulse = worker.keepFresh('first');
  await fresh();
  // Nobody asks the edge meanwhile: it holds what it held.
  await new Promise((resolve) => setTimeout(resolve, BOUND_MS + 500));
  await pulse.stop();
  const inline = [{ generation: 16, project: 10 }];
  assert.equal((await worker.publish('first', { inline })).status, 200);
  const answer = await worker.whoami('alpha_member');
  assert.deepEqual([answer.status, answer.json.code], [401, 'revoked']);
});

test('past grace there is 503, and a head brings it back', async () => {
  await worker.publish('short_grace');
  const within = await until(async () => {
    const answer = await worker.whoami('beta_member');
    return answer.json?.generation === 15 || answer.headers.get('latchkey-generation') === '16' ? answer : undefined;
  });
  assert.equal(within.status, 200);
  const late = await until(async () => {
    const answer = await worker.whoami('beta_member');
    return answer.status === 503 ? answer : undefined;
  }, GRACE_MS + 8000);
  assert.equal(late.json.code, 'snapshot_too_old');
  assert.equal(late.headers.get('retry-after'), '1');
  assert.equal((await worker.get('/.latchkey/status')).json.health, 'refusing');
  const pulse = worker.keepFresh('short_grace');
  try {
    await until(async () => ((await worker.whoami('beta_member')).status === 200 ? true : undefined), 15_000);
  } finally {
    await pulse.stop();
  }
});
