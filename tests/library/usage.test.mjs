// Usage that the library counts: what went on, once, as the control plane takes it; and that no failure of it touches a request.

import assert from 'node:assert/strict';
import { after, before, beforeEach, mock, test } from 'node:test';
import { createGate, protect } from '@latchkey/gate';
import { ControlPlane, Place, bearer, fixture, gate, session, trust, until } from './support.mjs';

const TOKEN = 'lku_a usage token for the tests only';
const URL_OF = 'http://api.example/v1/projects/alpha/models';
const request = (who = 'alpha_member', url = URL_OF) => new Request(url, { headers: who === null ? {} : bearer(who) });

let control;
before(async () => {
  control = await ControlPlane.start();
});
after(() => control?.close());
beforeEach(() => {
  [control.answers, control.brought] = [[], []];
});

const counting = (options = {}) => gate(new Place(), { usage: { controlPlane: control.url, token: TOKEN }, ...options });

test('what went on is brought, once, as the control plane takes it', async () => {
  const one = counting();
  const guarded = protect(one, () => new Response('in'));
  for (let at = 0; at < 3; at += 1) assert.equal((await guarded(request())).status, 200);
  const shared = new Request('http://api.example/v1/shared/alpha', { headers: session('member') });
  assert.equal((await guarded(shared)).status, 200);
  // None of these is anybody's use.
  assert.equal((await guarded(request('beta_member'))).status, 404);
  assert.equal((await guarded(request('revoked'))).status, 401);
  assert.equal((await guarded(request(null, 'http://api.example/v1/public'))).status, 200);
  assert.equal((await one.whoami(request())).status, 200);
  assert.equal((await one.check(request())).allowed, true);
  await assert.rejects(protect(one, () => { throw new Error('the handler failed'); })(request()));
  assert.deepEqual(one.status().usage, { waiting: false, lost: 0 });
  control.answers = [503];
  await one.close();
  assert.equal(one.status().usage.waiting, true);
  await one.close();
  assert.equal(one.status().usage.waiting, false);
  // Refused once, sent again: the same batch under the same id.
  assert.equal(control.brought.length, 2);
  assert.deepEqual(control.brought[0].batch, control.brought[1].batch);
  const { url, method, headers, batch } = control.brought[1];
  assert.deepEqual([method, url, headers.authorization], ['POST', '/v1/usage/batches', `Bearer ${TOKEN}`]);
  assert.match(headers['content-type'], /^application\/json/);
  assert.match(batch.id, /^[0-9a-f]{32}$/);
  const line = ({ subject, project, permission, requests }) => ({ subject, project, permission, requests });
  assert.deepEqual(batch.lines.map(line), [
    { subject: { key: fixture.keys.alpha_member.id }, project: 10, permission: 'models.view', requests: 3 },
    { subject: { identity: fixture.people.member.identity }, project: 10, permission: 'files.view', requests: 1 },
  ]);
  for (const { day, last_at } of batch.lines) {
    assert.match(last_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.ok(last_at.startsWith(day));
  }
  // Nothing is left, so nothing is sent.
  await one.close();
  assert.equal(control.brought.length, 2);
});

test('a request counts once, however often its answer is shared', async () => {
  const one = counting();
  const verdict = await one.check(request());
  for (let at = 0; at < 3; at += 1) verdict.share(new Response(''));
  await one.close();
  assert.equal(control.requests(fixture.keys.alpha_member.id), 1);
});

test('a batch that will never be taken is dropped, and told', async () => {
  const warned = [];
  const one = counting({ warn: (message) => warned.push(message) });
  (await one.check(request())).share(new Response(''));
  control.answers = [422];
  await one.close();
  assert.equal(one.status().usage.waiting, false);
  await one.close();
  assert.equal(control.brought.length, 1);
  assert.match(warned.join(), /422/);
  assert.ok(!warned.join().includes(TOKEN));
});

test('nobody waits for usage, and nothing fails by it', async () => {
  const nowhere = gate(new Place(), { usage: { controlPlane: 'http://127.0.0.1:1', token: TOKEN } });
  const guarded = protect(nowhere, () => new Response('in'));
  for (let at = 0; at < 10; at += 1) assert.equal((await guarded(request())).status, 200);
  await nowhere.close();
  assert.deepEqual([nowhere.status().usage.waiting, nowhere.broken], [true, false]);
  assert.equal((await guarded(request())).status, 200);
});

test('nothing is counted unless it is said where it goes', async () => {
  const one = gate();
  (await one.check(request())).share(new Response(''));
  await one.close();
  assert.deepEqual([one.status().usage, control.brought], [null, []]);
});

test('the usage token may be one of the lines of what is trusted', async () => {
  const one = createGate({
    source: new Place(),
    trust: { ...trust(), LATCHKEY_USAGE_TOKEN: TOKEN },
    follow: false,
    usage: { controlPlane: control.url },
  });
  (await one.check(request())).share(new Response(''));
  await one.close();
  assert.equal(control.brought[0].headers.authorization, `Bearer ${TOKEN}`);
});

test('usage goes nowhere that is not understood, and its token is not told', () => {
  for (const usage of [
    null,
    {},
    'https://control.example',
    { controlPlane: 'https://control.example' },
    { controlPlane: 'https://control.example', token: '' },
    { controlPlane: 'https://control.example', token: 'one\nand-a-secret' },
    { controlPlane: 'http://control.example', token: TOKEN },
    { controlPlane: 'https://user:x@control.example', token: TOKEN },
    { controlPlane: 'https://control.example', token: TOKEN, every: 1 },
    { token: TOKEN },
  ]) {
    const hidden = (error) => error instanceof TypeError && !error.message.includes('secret') && !error.message.includes(TOKEN);
    assert.throws(() => createGate({ source: new Place(), trust: trust(), follow: false, usage }), hidden, JSON.stringify(usage));
  }
});

test('a control plane that takes nothing is asked ever more seldom, however much goes on', async () => {
  const one = counting();
  const verdicts = [];
  while (verdicts.length < 1200) verdicts.push(await one.check(request()));
  const { fetch } = globalThis;
  let asked = 0;
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() });
  try {
    globalThis.fetch = async () => {
      asked += 1;
      return new Response(null, { status: 503 });
    };
    for (const verdict of verdicts) {
      verdict.share(new Response(''));
      mock.timers.tick(1000);
      await new Promise(setImmediate);
    }
  } finally {
    mock.timers.reset();
    globalThis.fetch = fetch;
  }
  // In 20 minutes three times each after 5 s, 5 s, 10 s and so on, up to 5 minutes.
  assert.ok(asked >= 15 && asked <= 40, `${asked}`);
  await one.close();
  assert.equal(control.requests(fixture.keys.alpha_member.id) > 0, true);
});
