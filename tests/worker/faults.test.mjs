// Everything between an edge and its hub may be slow, lose, replay or lie: the cache, the relay, KV, the hub itself.
// Answers stay right, and fresh as long as one way is left.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker, bearer, fixture, head, objects, until } from './support.mjs';

const path = (name) => fileURLToPath(new URL(`./faulty/${name}`, import.meta.url));
/** Heads are signed every 200 ms; the rest is the way here, a refresh, and a busy machine. */
const FRESH_MS = 2500;
const HELD_MS = 4500;
/** What failed is left alone for so long. */
const REST_MS = 5000;
/** By then a fault that is ordered has been met. */
const MET_MS = 20_000;
const STALE_AFTER_MS = 4000;

const start = (variables) => Worker.start({ edge: path('wrangler.toml'), hub: path('hub.toml'), variables });
const order = (faults) => worker.request('/.test/faults', { method: 'PUT', body: JSON.stringify(faults) });
const counts = async () => (await worker.get('/.test/counts')).json;
const plant = (key, body) =>
  worker.request('/.test/planted', { method: 'PUT', headers: { 'x-key': `https://latchkey.invalid/${key}` }, body });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const isStale = ({ headers }) => headers.get('latchkey-stale') === '1';
const age = ({ headers }) => Number(headers.get('latchkey-age'));
const serves = (generation, name = 'alpha_member') =>
  until(async () => {
    const answer = await worker.whoami(name);
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

/** The counts since `told` was begun, added to it. */
async function add(told) {
  for (const [what, count] of Object.entries(await counts())) told[what] = (told[what] ?? 0) + count;
  return told;
}

/** Eight bytes, as entries and claims begin with them. */
function moment(ms) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(ms));
  return bytes;
}

/** Does something again and again while `work` is going on. */
async function meanwhile(everyMs, again, work) {
  let goesOn = true;
  const doing = (async () => {
    while (goesOn) {
      await again();
      await sleep(everyMs);
    }
  })();
  try {
    return await work();
  } finally {
    goesOn = false;
    await doing;
  }
}

/** Asks for a while under a fault, and on until each of `met` has happened: counts, added to `told`. Every answer must be
 * right; returns those after the first moments. */
async function under(faults, { forMs = HELD_MS, met = [], told = {} } = {}) {
  await counts();
  await order(faults);
  const answers = [];
  const begun = Date.now();
  const isMet = () => met.every((what) => told[what] > 0);
  while (Date.now() - begun < forMs || (!isMet() && Date.now() - begun < MET_MS)) {
    if (met.length > 0) await add(told);
    const answer = await worker.whoami('alpha_member');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(isStale(answer), age(answer) > STALE_AFTER_MS, 'an age never lies');
    if (Date.now() - begun > 1000) answers.push(answer);
    await sleep(40);
  }
  assert.ok(isMet(), `${met}: ${JSON.stringify(told)}`);
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

test('a key with a rate is refused where no binding counts it', async () => {
  const answer = await worker.get('/v1/cached', bearer('slow'));
  assert.deepEqual([answer.status, answer.json.code], [503, 'rate_unenforceable'], answer.text);
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

test('the hub learns where the readers of a relay stand', async () => {
  const begun = Date.now();
  await until(async () => {
    await worker.whoami('alpha_member');
    const last = (await worker.hubStatus()).edges.at(-1);
    return last?.reported_at > begun && last.oldest_generation === 10 ? true : undefined;
  });
});

test('a revocation arrives through the relay', async () => {
  pulse.options = { inline: [{ generation: 11, tag: fixture.keys.alpha_admin.tag }] };
  await until(async () => ((await worker.whoami('alpha_admin')).json.code === 'revoked' ? true : undefined));
});

for (const fault of ['throw', 'reject', 'lost', 'hang', 'garbage', 'nonsense', 'status', 'replay', 300]) {
  test(`a cache that does this costs nothing but a read: ${fault}`, async () => {
    await allFresh(await under({ cache: fault }, { met: ['fault cache'] }), `${fault}`);
  });
}

for (const fault of ['reject', 'hang', 'garbage', 'status', 400]) {
  test(`a relay that does this costs nothing but a read of the hub: ${fault}`, async () => {
    await allFresh(await under({ relay: fault }, { met: ['fault relay', 'hub head'] }), `${fault}`);
  });
}

for (const fault of ['reject', 'hang', 'status']) {
  test(`a relay that the hub does not reach asks the hub: ${fault}`, async () => {
    await allFresh(await under({ feed: fault }, { met: ['fault feed', 'relay to hub head'] }), `${fault}`);
  });
}

for (const fault of ['reject', 'hang', 'status', 'garbage', 350]) {
  test(`a relay that is not handed anything and asks in vain costs nothing but a read of the hub: ${fault}`, async () => {
    const faults = { feed: 'reject', 'relay to hub': fault };
    await allFresh(await under(faults, { met: ['fault relay to hub'] }), `${fault}`);
  });
}

test('however many ask a relay for an object at once, it asks the hub once', async () => {
  const [{ digest }] = objects('first');
  const ask = async (path) =>
    (await worker.get(`/.test/relay?name=hub-${fixture.installation}-weur&path=${path}&times=40`)).json;
  for (const [fault, path, asked, first] of [
    [200, `objects/${digest}`, 200, 200],
    // It holds it now.
    ['reject', `objects/${digest}`, 200, 200],
    // The hub has no such thing; those that waited are told so, and ask it themselves.
    [200, `objects/${'0'.repeat(64)}`, 404, 404],
    ['hang', `objects/${'1'.repeat(64)}`, 404, 503],
  ]) {
    await order({ 'relay to hub': fault });
    await counts();
    const statuses = await ask(path);
    const told = await counts();
    assert.equal(statuses.filter((status) => status === first).length >= 1, true, `${fault}: ${statuses}`);
    assert.ok(statuses.every((status) => status === asked || status === first), `${fault}: ${statuses}`);
    assert.ok((told['relay to hub objects'] ?? 0) <= 1, `${fault}: ${JSON.stringify(told)}`);
  }
});

test('a relay that replays an old head is found out before an answer is stale', async () => {
  const answers = await under({ relay: 'replay' }, { forMs: 8000, met: ['fault relay', 'hub head'] });
  assert.ok(answers.length > 0 && !answers.some(isStale), `${Math.max(...answers.map(age))} ms`);
});

test('with all of it out of order the hub alone is enough', async () => {
  await allFresh(await under({ cache: 'hang', relay: 'hang', kv: 'hang' }), 'the hub alone');
});

test('a read of the hub that is broken off is made once more, at once', async () => {
  const faults = { cache: 'reject', relay: 'reject', kv: 'reject', hub: 'break first' };
  await allFresh(await under(faults, { met: ['fault hub'] }), 'every first read');
});

test('when the hub is out of order too, answers are marked in time, and recover', async () => {
  await under({ cache: 'reject', relay: 'reject', kv: 'reject', hub: 'reject' });
  await until(async () => (isStale(await worker.whoami('alpha_member')) ? true : undefined));
  await order({});
  await until(async () => (isStale(await worker.whoami('alpha_member')) ? undefined : true), 20_000);
});

for (const [fault, edition, generation] of [['garbage', 'second', 11], ['reject', 'third', 12]]) {
  test(`objects come by another way when the relay does not get them: ${fault}`, async () => {
    // The relay is left alone for as long after a fault.
    await sleep(REST_MS);
    await counts();
    await order({ kv: 'reject', 'relay to hub': fault });
    Object.assign(pulse, { edition, options: {} });
    await serves(generation, 'beta_member');
    const told = await counts();
    assert.ok(told['fault relay to hub'] > 0 && told['hub objects'] > 0, JSON.stringify(told));
  });
}

/** Another Worker, with `first` published again and again. */
async function begin(variables) {
  await pulse.stop();
  await worker.stop();
  worker = await start(variables);
  pulse = worker.keepFresh('first');
  await serves(10);
}

test('objects come by another way when KV is out of order, whatever it does', async () => {
  // Without the cache each edition is read anew.
  await begin({ LATCHKEY_SHARED_CACHE: 'off' });
  const editions = [['hang', 'second'], ['garbage', 'third'], ['reject', 'wide'], ['nonsense', 'restored']];
  for (const [index, [fault, edition]] of editions.entries()) {
    await order({ kv: fault });
    await counts();
    pulse.edition = edition;
    await serves(11 + index, 'beta_member');
    const told = await counts();
    assert.ok(told['fault kv'] > 0 && told['hub objects'] > 0, `${fault}: ${JSON.stringify(told)}`);
    await sleep(REST_MS);
  }
});

test('what another isolate put into the cache is used, and the source is not asked', async () => {
  await begin({});
  const { hub, peppers } = await names();
  // The hub hangs: whatever stays fresh does so by the cache.
  const share = () => plant(`${hub}/head/${peppers}`, Buffer.concat([moment(Date.now()), head('first')]));
  await meanwhile(60, share, async () => {
    await allFresh(await under({ hub: 'hang' }, { forMs: STALE_AFTER_MS + 3000 }), 'the cache alone');
  });
});

test('while another isolate claims to be reading, an entry that is older serves and the hub is not asked', async () => {
  const { hub, peppers } = await names();
  /** Reads of the hub while the edge looks into the cache ten times and finds an entry just too old, and this claim. */
  const reads = async (claimed) => {
    const share = async () => {
      await plant(`${hub}/claim/${peppers}`, moment(Date.now() + claimed));
      await plant(`${hub}/head/${peppers}`, Buffer.concat([moment(Date.now() - 450), head('first')]));
    };
    return meanwhile(50, share, async () => {
      await sleep(500);
      await counts();
      const told = {};
      while (!(told['cache head'] >= 10)) {
        assert.equal((await worker.whoami('alpha_member')).status, 200);
        await add(told);
        await sleep(25);
      }
      return told;
    });
  };
  // A moment that is to come counts as now, so that a machine that is busy does not let it grow old.
  const young = await reads(900);
  assert.ok((young['hub head'] ?? 0) <= 2, JSON.stringify(young));
  const old = await reads(-400);
  assert.ok(old['hub head'] >= 5 && old['put claim'] >= 5, JSON.stringify(old));
});

test('a claim that nobody fulfils delays by its time and no more', async () => {
  const { hub, peppers } = await names();
  const claim = () => plant(`${hub}/claim/${peppers}`, moment(Date.now()));
  await meanwhile(100, claim, async () => allFresh(await under({}), 'claims'));
});

test('an object that another isolate claims to be reading is waited for, and the hub is not asked', async () => {
  const { hub } = await names();
  const held = new Set(objects('first').map(({ digest }) => digest));
  const [{ digest, bytes }] = objects('chained').filter((object) => !held.has(object.digest));
  const claim = () => plant(`${hub}/claim/objects/${digest}`, moment(Date.now() + 900));
  await claim();
  await counts();
  await meanwhile(100, claim, async () => {
    pulse.edition = 'chained';
    const told = {};
    // It has looked again: so it waits.
    await until(async () => {
      await worker.whoami('alpha_member');
      return (await add(told))['cache claim of an object'] >= 2 ? true : undefined;
    });
    await plant(`${hub}/objects/${digest}`, bytes);
    await serves(11);
    assert.equal((await add(told))['hub objects'], undefined, JSON.stringify(told));
  });
});

test('a claim of an object that nobody fulfils delays by its time and no more', async () => {
  const { hub } = await names();
  const held = new Set(objects('first').map(({ digest }) => digest));
  const wanted = objects('third').filter(({ digest }) => !held.has(digest));
  for (const { digest } of wanted) await plant(`${hub}/claim/objects/${digest}`, moment(Date.now() + 900));
  await counts();
  pulse.edition = 'third';
  await serves(12, 'beta_member');
  const told = await counts();
  assert.ok(told['hub objects'] > 0 && told['put claim of an object'] > 0, JSON.stringify(told));
});

test('an object that cannot be had is asked for now and then, and comes when it can be had', async () => {
  const held = new Set(['first', 'chained', 'third'].flatMap((name) => objects(name).map(({ digest }) => digest)));
  const wanted = objects('restored').filter(({ digest }) => !held.has(digest)).length;
  await order({ 'hub objects': 'status', kv: 'reject' });
  await counts();
  pulse.edition = 'restored';
  const told = {};
  const begun = Date.now();
  while (Date.now() - begun < 4000) {
    assert.equal((await worker.whoami('beta_member')).status, 200);
    await sleep(40);
  }
  await add(told);
  // A look is every 250 ms and would ask for each were it not left alone: four times for 190 ms at least, then for 380, 750,
  // 1,500 ms. So each is asked for eight times at most, each time twice.
  const most = 16 * wanted;
  assert.ok(told['fault hub objects'] > 0 && told['hub objects'] <= most, JSON.stringify({ most, ...told }));
  await order({});
  await serves(14, 'beta_member');
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
