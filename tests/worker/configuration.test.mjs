// A Worker that is not configured as it must be answers nothing, and says in its log what is wrong, never a value.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker, configuration, fixture, until } from './support.mjs';

const cases = [
  ['no root', { LATCHKEY_ROOT: undefined }, '`LATCHKEY_ROOT` is not set'],
  ['a root that is none', { LATCHKEY_ROOT: 'AAAA' }, 'the pinned root is refused'],
  ['a pepper that is too short', { LATCHKEY_PEPPER: 'abcd' }, '`LATCHKEY_PEPPER` must be 64 hexadecimal characters'],
  ['the same pepper twice', { LATCHKEY_PEPPER_2: fixture.pepper }, 'the two peppers are the same'],
  ['an origin with a path', { ORIGIN: 'http://127.0.0.1:1/base' }, '`ORIGIN` must be'],
  ['a share that is none', { LATCHKEY_DECISIONS: '2' }, '`LATCHKEY_DECISIONS` must be'],
  ['a floor that is none', { LATCHKEY_FLOOR: '1' }, '`LATCHKEY_FLOOR` must be'],
];

for (const [name, variables, said] of cases) {
  test(`${name} is a clear error in the log and 503 for everybody`, async () => {
    const worker = await Worker.start({ variables });
    try {
      for (const path of ['/v1/whoami', '/.latchkey/status', '/anything']) {
        const answer = await worker.get(path);
        assert.deepEqual([answer.status, answer.json?.code], [503, 'not_configured'], answer.text);
      }
      await until(async () => (worker.logged().includes(said) ? true : undefined));
      const log = worker.logged();
      for (const value of Object.values(configuration())) assert.ok(!log.includes(value));
    } finally {
      await worker.stop();
    }
  });
}

test('nothing below the floor is believed', async () => {
  const worker = await Worker.start({ variables: { LATCHKEY_FLOOR: '1,11' } });
  try {
    await worker.publish('first');
    const answer = await worker.whoami('alpha_member');
    assert.deepEqual([answer.status, answer.json.code], [503, 'no_snapshot']);
    await worker.publish('second');
    await until(async () => ((await worker.whoami('alpha_member')).status === 200 ? true : undefined));
  } finally {
    await worker.stop();
  }
});
