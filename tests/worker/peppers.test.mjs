// Which peppers the edges hold, as the hub tells its publisher: it must not change to one that an edge lacks.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Worker, until } from './support.mjs';

const SECOND = '77'.repeat(32);
const persist = mkdtempSync(join(tmpdir(), 'latchkey-peppers-test-'));
let worker;
after(async () => {
  await worker?.stop();
  rmSync(persist, { recursive: true, force: true });
});

const reported = (count) =>
  until(async () => {
    await worker.whoami('alpha_member');
    const { peppers } = await worker.hubStatus();
    assert.equal(peppers.length, count);
    return peppers;
  });

test('a hub that nobody has read knows of no pepper, and says so before anything else happened', async () => {
  worker = await Worker.start({ persist });
  assert.deepEqual((await worker.hubStatus()).peppers, []);
});

test('a read tells which peppers an edge holds', async () => {
  await worker.publish('first');
  const before = Date.now();
  const [{ id, with_at, without_at }] = await reported(1);
  assert.match(id, /^[0-9a-f]{16}$/);
  assert.ok(with_at >= before - 1000 && with_at <= Date.now());
  assert.equal(without_at, null);
});

test('a pepper that is new was missing from every read before, across a restart too', async () => {
  const [old] = await reported(1);
  await worker.stop();
  worker = await Worker.start({ persist, variables: { LATCHKEY_PEPPER_2: SECOND } });
  const restarted = Date.now();
  await worker.publish('first');
  const peppers = await reported(2);
  const first = peppers.find(({ id }) => id === old.id);
  const second = peppers.find(({ id }) => id !== old.id);
  assert.equal(first.without_at, null);
  assert.ok(second.with_at >= restarted);
  assert.ok(second.without_at > 0 && second.without_at < restarted, `${second.without_at}`);
});
