// A change travels as a delta over the base that is held: the hub takes it, the edge applies it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bearer, head, objects, serving, until } from './support.mjs';

let worker;
let pulse;
let stop;
before(async () => {
  ({ worker, pulse, stop } = await serving());
});
after(async () => {
  await stop?.();
});

/** What the first edition does not have: the tip. */
function tip() {
  const held = new Set(objects('first').map(({ digest }) => digest));
  const [tip, ...others] = objects('chained').filter(({ digest }) => !held.has(digest));
  assert.equal(others.length, 0);
  return tip;
}

test('a key that only the delta knows is unknown before it', async () => {
  const answer = await worker.whoami('late');
  assert.deepEqual([answer.status, answer.json.code], [401, 'unauthenticated']);
});

test('a head over a new tip costs that tip, and a wrong one is refused', async () => {
  const { digest, bytes } = tip();
  const answer = await worker.push('head', head('chained'));
  assert.deepEqual([answer.status, answer.json.missing], [409, [digest]]);
  const flipped = Buffer.from(bytes);
  flipped[80] ^= 1;
  const refused = await worker.push(`objects/${digest}`, flipped);
  assert.deepEqual([refused.status, refused.json.code], [422, 'object_digest']);
  assert.equal((await worker.hubStatus()).generation, 10, 'the head waits for it');
});

test('an edge applies it, and what the base says stays', async () => {
  pulse.edition = 'chained';
  const answer = await until(async () => {
    const answer = await worker.whoami('late');
    return answer.status === 200 ? answer : undefined;
  });
  assert.equal(answer.json.generation, 11);
  assert.equal((await worker.whoami('alpha_member')).status, 200);
  assert.equal((await worker.get('/v1/whoami', bearer('revoked'))).json.code, 'revoked');
  const { deltas } = (await worker.edgeStatus()).details;
  assert.equal(deltas.held, 1);
  assert.equal((await worker.hubStatus()).objects, objects('first').length + 1);
});
