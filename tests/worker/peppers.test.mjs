// What the edges tell of themselves, as the hub tells its publisher: which peppers they hold, so that it changes to none that an
// edge lacks, and which generation they answer from.

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

test('a read tells which generation an edge answers from, once its answers are fresh', async () => {
  const before = Date.now();
  const edges = await until(async () => {
    const answer = await worker.publish('first');
    await worker.whoami('alpha_member');
    return answer.json.edges.length > 0 ? answer.json.edges : undefined;
  });
  assert.deepEqual((await worker.hubStatus()).edges.map(({ oldest_generation }) => oldest_generation), edges.map(() => 10));
  for (const { reported_at, reports } of edges) {
    assert.ok(reported_at > before - 60_000 && reported_at <= Date.now() && reports > 0, `${reported_at} ${reports}`);
  }
});

test('an edge that has been behind is told of beside those that are not, and no stale one is', async () => {
  const told = await until(async () => {
    await worker.publish('chained');
    const answer = await worker.whoami('alpha_member');
    const { generation, edges } = await worker.hubStatus();
    const has = (wanted) => edges.some(({ oldest_generation }) => oldest_generation === wanted);
    // A slot is 5 s long, and has the lowest.
    return answer.status === 200 && generation > 10 && has(10) && has(generation) ? { generation, edges } : undefined;
  }, 20_000);
  assert.ok(told.edges.every(({ oldest_generation }) => [10, told.generation].includes(oldest_generation)), JSON.stringify(told));
});

test('a hub that begins anew knows nothing of where edges stand', async () => {
  await worker.stop();
  worker = await Worker.start({ persist });
  assert.deepEqual((await worker.hubStatus()).edges, []);
});
