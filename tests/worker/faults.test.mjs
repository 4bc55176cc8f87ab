// Everything between an edge and its hub may be slow, lose, replay or lie: the cache, the relay, KV, the hub itself.
// Answers stay right, and fresh as long as one way is left.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker, fixture, head, objects, until } from './support.mjs';

const path = (name) => fileURLToPath(new URL(`./faulty/${name}`, import.meta.url));
/** Heads are signed every 200 ms; the rest is the way here, a refresh, and a busy machine. */
const FRESH_MS = 2500;
const HELD_MS = 4500;
const STALE_AFTER_MS = 4000;

const start = (variables) => Worker.start({ edge: path('wrangler.toml'), hub: path('hub.toml'), variables });
const order = (faults) => worker.request('/.test/faults', { method: 'PUT', body: JSON.stringify(faults) });
const counts = async () => (await worker.get('/.test/counts')).json;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const isStale = ({ headers }) => headers.get('latchkey-stale') === '1';
const age = ({ headers }) => Number(headers.get('latchkey-age'));
const serves = (generation) =>
  until(async () => {
    const answer = await worker.whoami('alpha_member');
    return answer.status === 200 && answer.json.generation === generation ? answer : undefined;
  }, 20_000);

let worker;
let pulse;
before(async () => {
  worker = await start({ LATCHKEY_RELAYS: 'weur' });
});
after(async () => {
  await pulse?.stop();
  await worker?.stop();
});
beforeEach(() => order({}));

/** Asks for a while under a fault. Every answer must be right; returns those after the first moments. */
async function under(faults, forMs = HELD_MS) {
  await order(faults);
  const answers = [];
  const begun = Date.now();
  while (Date.now() - begun < forMs) {
    const answer = await worker.whoami('alpha_member');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(isStale(answer), age(answer) > STALE_AFTER_MS, 'an age never lies');
    if (Date.now() - begun > 1000) answers.push(answer);
    await sleep(40);
  }
  return answers;
}

async function allFresh(answers, what) {
  const oldest = Math.max(...answers.map(age));
  if (answers.length > 0 && oldest < FRESH_MS) return;
  assert.fail(`${what}: ${oldest} ms; ${JSON.stringify([await counts(), await worker.hubStatus(), Date.now()])}`);
}

test('a cold edge reads its objects from KV, and the hub need not be asked for one', async () => {
  await worker.publish('first');
  const names = objects('first').map(({ digest }) => `objects/${digest}`).sort();
  await until(async () => assert.deepEqual((await worker.get('/.test/kv')).json.sort(), names) ?? true);
  await counts();
  pulse = worker.keepFresh('first');
  await serves(10);
  const told = await counts();
  assert.ok(told.kv >= 3, JSON.stringify(told));
  assert.equal(told['hub objects'], undefined, JSON.stringify(told));
});

test('heads come from the relay, and the hub is not asked', async () => {
  await serves(10);
  await counts();
  await allFresh(await under({}), 'no fault');
  const told = await counts();
  assert.ok(told['relay head'] > 3, JSON.stringify(told));
  assert.equal(told['hub head'], undefined, JSON.stringify(told));
});

test('the hub learns which peppers the readers of a relay hold', async () => {
  const begun = Date.now();
  const [{ with_at, without_at }] = await until(async () => {
    await worker.whoami('alpha_member');
    const { peppers } = await worker.hubStatus();
    return peppers[0]?.with_at > begun ? peppers : undefined;
  });
  assert.ok(with_at > begun);
  assert.equal(without_at, null);
});

test('a revocation arrives through the relay', async () => {
  pulse.options = { inline: [{ generation: 11, tag: fixture.keys.alpha_admin.tag }] };
  await until(async () => ((await worker.whoami('alpha_admin')).json.code === 'revoked' ? true : undefined));
});

for (const fault of ['throw', 'reject', 'lost', 'hang', 'garbage', 'nonsense', 'status', 'replay', 300]) {
  test(`a cache that does this costs nothing but a read: ${fault}`, async () => {
    await allFresh(await under({ cache: fault }), `${fault}`);
  });
}

for (const fault of ['reject', 'hang', 'garbage', 'status', 400]) {
  test(`a relay that does this costs nothing but a read of the hub: ${fault}`, async () => {
    await counts();
    await allFresh(await under({ relay: fault }), `${fault}`);
    assert.ok((await counts())['hub head'] > 0);
  });
}

test('a relay that replays an old head is found out', async () => {
  await under({ relay: 'replay' });
  await until(async () => {
    await allFresh([await worker.whoami('alpha_member')], 'a replay');
    return true;
  }, 20_000);
});

test('with all of it out of order the hub alone is enough', async () => {
  await allFresh(await under({ cache: 'hang', relay: 'hang', kv: 'hang' }), 'the hub alone');
});

test('when the hub is out of order too, answers are marked in time, and recover', async () => {
  await under({ cache: 'reject', relay: 'reject', kv: 'reject', hub: 'reject' });
  await until(async () => (isStale(await worker.whoami('alpha_member')) ? true : undefined));
  await order({});
  await until(async () => (isStale(await worker.whoami('alpha_member')) ? undefined : true), 20_000);
});

for (const fault of ['hang', 'garbage', 'reject', 'nonsense']) {
  test(`objects come by another way when KV does this: ${fault}`, async () => {
    const edition = pulse.edition === 'first' ? 'second' : 'third';
    await order({ kv: fault, cache: fault === 'nonsense' ? 'garbage' : undefined });
    pulse.edition = edition;
    pulse.options = {};
    if (edition === 'second') await serves(11);
    else await until(async () => ((await worker.whoami('beta_member')).json?.generation === 12 ? true : undefined), 20_000);
  });
}

test('what another isolate put into the cache is used, and the source is not asked', async () => {
  await pulse.stop();
  await worker.stop();
  worker = await start({});
  pulse = worker.keepFresh('first');
  await serves(10);
  // The hub hangs: whatever stays fresh does so by the cache.
  const { hub, peppers } = await names();
  await order({ hub: 'hang' });
  let planting = true;
  const planter = (async () => {
    while (planting) {
      const moment = Buffer.alloc(8);
      moment.writeBigUInt64LE(BigInt(Date.now()));
      const headers = { 'x-key': `https://latchkey.invalid/${hub}/head/${peppers}` };
      await worker.request('/.test/head', { method: 'PUT', headers, body: Buffer.concat([moment, head('first')]) });
      await sleep(60);
    }
  })();
  try {
    await allFresh(await under({ hub: 'hang' }, STALE_AFTER_MS + 3000), 'the cache alone');
  } finally {
    planting = false;
    await planter;
  }
});

test('a claim that nobody fulfils delays by its time and no more', async () => {
  const { hub, peppers } = await names();
  let planting = true;
  const planter = (async () => {
    while (planting) {
      const moment = Buffer.alloc(8);
      moment.writeBigUInt64LE(BigInt(Date.now()));
      const headers = { 'x-key': `https://latchkey.invalid/${hub}/claim/${peppers}` };
      await worker.request('/.test/head', { method: 'PUT', headers, body: moment });
      await sleep(400);
    }
  })();
  try {
    await allFresh(await under({}), 'claims');
  } finally {
    planting = false;
    await planter;
  }
});

test('a hub that always takes longer than an answer waits leaves no edge cold', async () => {
  await pulse.stop();
  await worker.stop();
  worker = await start({});
  await order({ hub: 700 });
  pulse = worker.keepFresh('first');
  await serves(10);
  await until(async () => (isStale(await worker.whoami('alpha_member')) ? undefined : true));
});

/** What the keys of the cache are made of. */
async function names() {
  const { peppers } = await until(async () => {
    await worker.whoami('alpha_member');
    const status = await worker.hubStatus();
    return status.peppers.length > 0 ? status : undefined;
  });
  return { hub: `hub-${fixture.installation}`, peppers: peppers.map(({ id }) => id).join(',') };
}
