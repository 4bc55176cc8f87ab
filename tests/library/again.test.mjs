// What takes long is asked about again: by the verdict, or by the request that a handler was given.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { protect, stillAllowed } from '@latchkey/gate';
import { latchkey } from '@latchkey/gate/hono';
import { Hono } from 'hono';
import { ControlPlane, Place, bearer, fixture, gate, until } from './support.mjs';

const URL_OF = 'http://api.example/v1/projects/alpha/models';
const request = (who, url = URL_OF, init = {}) => new Request(url, { ...init, headers: bearer(who) });
const revoke = (place, who) => place.publish('first', { inline: [{ generation: 11, tag: fixture.keys[who].tag }] });
const ends = (asked) => until(async () => ((await asked()) ? undefined : true));

test('what was let in is not any more once its key is revoked, and who has another still is', async () => {
  const place = new Place();
  const records = [];
  const one = gate(place, { onDecision: (record) => records.push(record), decisions: '0,refused=1' });
  const [member, admin] = [await one.check(request('alpha_member')), await one.check(request('alpha_admin'))];
  const needed = await one.check(request('alpha_member'), { permission: 'files.view' });
  for (const verdict of [member, admin, needed]) assert.equal(await verdict.stillAllowed(), true);
  revoke(place, 'alpha_member');
  await ends(() => member.stillAllowed());
  assert.deepEqual([await needed.stillAllowed(), await admin.stillAllowed()], [false, true]);
  assert.ok(records.length >= 2);
  for (const { again, cause, key } of records) assert.deepEqual([again, cause, key], [true, 'revoked', fixture.keys.alpha_member.id]);
});

test('where the gate cannot tell, it is not allowed any more', async () => {
  const place = new Place();
  const verdict = await gate(place).check(request('alpha_member'));
  place.head = async () => {
    throw new Error('down');
  };
  const { now } = Date;
  // Past the grace.
  Date.now = () => now() + 1_000_000;
  try {
    assert.equal(await verdict.stillAllowed(), false);
  } finally {
    Date.now = now;
  }
});

test('asking again counts for no rate and is nobody\'s use', async () => {
  const control = await ControlPlane.start();
  try {
    const counted = [];
    const one = gate(new Place(), { rate: (family) => counted.push(family) > 0, usage: { controlPlane: control.url, token: 'x' } });
    const verdict = await one.check(request('slow', 'http://api.example/v1/echo', { method: 'POST', body: '' }));
    const { answers } = one.status();
    for (let at = 0; at < 10; at += 1) assert.equal(await verdict.stillAllowed(), true);
    // Nor is it an answer.
    assert.deepEqual([one.status().answers, one.status().rejudged], [answers, { allowed: 10, refused: 0 }]);
    verdict.share(new Response(''));
    await one.close();
    assert.deepEqual([counted.length, control.requests(fixture.keys.slow.id)], [1, 1]);
  } finally {
    await control.close();
  }
});

test('a body that has gone on is known by what was seen of it', async () => {
  const one = gate();
  const body = JSON.stringify({ model: 'meta/llama-3' });
  const verdict = await one.check(request('of_model', 'http://api.example/v1/body', { method: 'POST', body }));
  assert.equal(await verdict.request().text(), body);
  assert.equal(await verdict.stillAllowed(), true);
});

test('a public route stays open', async () => {
  const one = gate();
  // A gate that knows no rules yet knows of no public route.
  assert.equal((await one.check(request('alpha_member'))).allowed, true);
  const verdict = await one.check(new Request('http://api.example/v1/public'));
  assert.deepEqual([verdict.how, await verdict.stillAllowed()], ['public', true]);
});

test('a handler asks by the request that it was given, and by no other', async () => {
  const place = new Place();
  const one = gate(place);
  let seen;
  const guarded = protect(one, (given) => {
    seen = given;
    return new Response('in');
  });
  assert.equal((await guarded(request('alpha_member'))).status, 200);
  assert.equal(await stillAllowed(seen), true);
  const app = new Hono();
  app.use(latchkey(one));
  app.get('*', async (c) => c.json(await stillAllowed(c.req.raw)));
  assert.equal(await (await app.request(request('alpha_member'))).json(), true);
  for (const other of [request('alpha_member'), seen.clone(), new Request(seen), undefined]) {
    await assert.rejects(stillAllowed(other), TypeError);
  }
  revoke(place, 'alpha_member');
  await ends(() => stillAllowed(seen));
});

test('a stream of events ends once its key is revoked', async () => {
  const place = new Place();
  let step;
  const stream = protect(gate(place), (given) => {
    const next = () => new Promise((resolve) => (step = resolve));
    const body = new ReadableStream({
      async pull(events) {
        await next();
        if (await stillAllowed(given)) events.enqueue(new TextEncoder().encode('data: on\n\n'));
        else events.close();
      },
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  });
  const events = (await stream(request('alpha_member'))).body.getReader();
  await until(() => step);
  step();
  assert.equal(new TextDecoder().decode((await events.read()).value), 'data: on\n\n');
  revoke(place, 'alpha_member');
  const end = until(async () => ((await events.read()).done ? true : undefined));
  const turning = setInterval(() => step?.(), 20);
  await end;
  clearInterval(turning);
});
