// A hub that lies, is slow, or is broken: the edge believes signatures alone, answers from what it has, and in time.

import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker, fixture, head, objects, until } from './support.mjs';

const HUB = fileURLToPath(new URL('./hostile-hub/wrangler.toml', import.meta.url));
/** The budget of an ask is 500 ms; the rest is a busy machine's. */
const ANSWER_MAX_MS = 1500;
const BROKEN_FAST_MS = 300;

let worker;
let beating;
beforeEach(async () => {
  await stop();
  worker = await Worker.start({ hub: HUB });
});
after(stop);

async function stop() {
  clearInterval(beating);
  await worker?.stop();
  worker = undefined;
}

const order = (what) => worker.push('head', JSON.stringify(what));
const serve = (bytes) => worker.push('head', bytes);

async function serveObjects(edition, change = (bytes) => bytes) {
  for (const { digest, bytes } of objects(edition)) await worker.push(`objects/${digest}`, change(bytes));
}

/** Serves an edition, and a young head over it again and again. */
async function live(edition) {
  await serveObjects(edition);
  await serve(head(edition));
  clearInterval(beating);
  beating = setInterval(() => serve(head(edition)).catch(() => {}), 150);
  await until(async () => ((await worker.whoami('alpha_member')).json?.generation ? true : undefined));
}

/** Asks often, and returns every answer until one is so. */
async function askUntil(wanted, name = 'alpha_member') {
  const answers = [];
  await until(async () => {
    const start = performance.now();
    const answer = await worker.whoami(name);
    answers.push({ ...answer, ms: performance.now() - start });
    return wanted(answer) ? true : undefined;
  });
  return answers;
}

const isStale = ({ headers }) => headers.get('latchkey-stale') === '1';
const slowest = (answers) => Math.max(...answers.map(({ ms }) => ms));

test('tampered and foreign heads are refused, and the last good one keeps serving until it is stale', async () => {
  await live('first');
  clearInterval(beating);
  const lies = [
    () => {
      const flipped = head('second');
      flipped[10] ^= 1;
      return flipped;
    },
    () => head('second', { by: 'stranger' }),
    () => head('second', { release: 'stranger' }),
    () => head('second').subarray(0, 100),
    () => head('first', { asOf: Date.now() + 60_000 }),
    () => Buffer.alloc(0),
  ];
  let turn = 0;
  beating = setInterval(() => serve(lies[turn++ % lies.length]()).catch(() => {}), 100);
  const answers = await askUntil(isStale);
  assert.ok(answers.every(({ status, json }) => status === 200 && json.generation === 10));
  assert.ok(slowest(answers) < ANSWER_MAX_MS, `${slowest(answers)} ms`);
  const { details } = await worker.edgeStatus();
  assert.ok(details.heads.refused > 0);
});

test('a replayed head takes nothing back and confirms nothing', async () => {
  await serveObjects('first');
  const old = head('first', { inline: [{ generation: 11, tag: fixture.keys.beta_member.tag, reason: 'disabled' }] });
  await live('second');
  clearInterval(beating);
  await serve(old);
  const answers = await askUntil(isStale);
  assert.ok(answers.every(({ json }) => json.generation === 11));
  assert.equal((await worker.whoami('beta_member')).status, 200);
});

test('wrong objects are refused, and the generation before keeps serving, stale in time', async () => {
  await live('first');
  clearInterval(beating);
  await serveObjects('second', (bytes) => {
    const flipped = Buffer.from(bytes);
    flipped[flipped.length - 1] ^= 1;
    return flipped;
  });
  beating = setInterval(() => serve(head('second')).catch(() => {}), 150);
  const answers = await askUntil(isStale);
  assert.ok(answers.every(({ status, json }) => status === 200 && json.generation === 10));
  assert.ok((await worker.edgeStatus()).details.objects_refused > 0);
});

test('a revocation applies though the objects of its head never come', async () => {
  await live('first');
  clearInterval(beating);
  const inline = [{ generation: 12, tag: fixture.keys.alpha_member.tag }];
  await serve(head('second', { inline }));
  const answers = await askUntil(({ status }) => status === 401);
  assert.equal(answers.at(-1).json.code, 'revoked');
});

test('a hub that hangs costs one budget and then nothing while the breaker is open', async () => {
  await live('first');
  clearInterval(beating);
  await order({ hang: 20_000 });
  const answers = await askUntil(isStale);
  assert.ok(answers.every(({ status }) => status === 200));
  assert.ok(slowest(answers) < ANSWER_MAX_MS, `${slowest(answers)} ms`);
  const start = performance.now();
  const broken = await worker.whoami('alpha_member');
  assert.ok(isStale(broken) && performance.now() - start < BROKEN_FAST_MS);
  assert.equal((await worker.edgeStatus()).details.breaker_open, true);
  await order({});
  beating = setInterval(() => serve(head('first')).catch(() => {}), 150);
  await until(async () => (isStale(await worker.whoami('alpha_member')) ? undefined : true), 15_000);
});

test('a cold edge whose hub hangs is 503 in time, for many at once', async () => {
  await order({ hang: 20_000 });
  const start = performance.now();
  const answers = await Promise.all(Array.from({ length: 20 }, () => worker.whoami('alpha_member')));
  assert.ok(answers.every(({ status, json }) => status === 503 && json.code === 'no_snapshot'));
  assert.ok(performance.now() - start < ANSWER_MAX_MS + 1000);
});

test('errors and endless bodies are no heads', async () => {
  await live('first');
  clearInterval(beating);
  for (const what of [{ status: 500 }, { status: 301 }, { huge: 50_000_000 }]) {
    await order(what);
    const start = performance.now();
    const answer = await worker.whoami('alpha_member');
    assert.equal(answer.status, 200);
    assert.ok(performance.now() - start < ANSWER_MAX_MS);
  }
  const answers = await askUntil(isStale);
  assert.ok(answers.every(({ status }) => status === 200));
});

test('a head under a root that the hub withholds is no confirmation', async () => {
  await live('first');
  clearInterval(beating);
  const second = { rootVersion: 2, release: 'release_2', by: 'head_2' };
  beating = setInterval(() => serve(head('first', second)).catch(() => {}), 150);
  await askUntil(isStale);
  await worker.push('root/2', Buffer.from(fixture.roots[2], 'hex'));
  await until(async () => (isStale(await worker.whoami('alpha_member')) ? undefined : true), 15_000);
  assert.equal((await worker.edgeStatus()).details.root_version, 2);
});
