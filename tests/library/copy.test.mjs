// The last good copy: a gate starts with it while no source answers, and believes it no more than any source.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createGate } from '@latchkey/gate';
import { Place, bearer, fixture, gate, head, trust, until } from './support.mjs';

const URL_OF = 'http://api.example/v1/projects/alpha/models';
const request = (who = 'alpha_member') => new Request(URL_OF, { headers: bearer(who) });
const down = async () => {
  throw new Error('down');
};
const DOWN = { head: down, root: down, object: down };

/** A copy in memory. */
class Memory {
  names = new Map();

  async load(name) {
    return this.names.get(name);
  }

  async save(name, bytes) {
    this.names.set(name, bytes.slice());
  }
}

/** What a gate keeps that has read everything and goes on until it `isKept`. */
async function kept(copy = new Memory(), isKept = () => copy.names.has('head')) {
  const place = new Place();
  const one = gate(place, { copy, follow: true });
  await until(async () => {
    await one.check(request());
    const { pagesHeld, pagesNamed, health } = one.status();
    return health === 'fresh' && pagesHeld > 0 && pagesHeld === pagesNamed && isKept() ? true : undefined;
  });
  await one.close();
  return copy;
}

test('a gate starts with what was kept while its source is down', async () => {
  const copy = await kept();
  for (const follow of [false, true]) {
    const one = gate(DOWN, { copy, follow });
    const verdict = await one.check(request());
    assert.deepEqual([verdict.allowed, verdict.caller?.project.slug], [true, 'alpha']);
    assert.equal((await one.check(request('revoked'))).code, 'revoked');
    assert.equal((await one.check(new Request(URL_OF))).status, 401);
    await one.close();
  }
  // One that follows reads all of it before anybody asks.
  const idle = gate(DOWN, { copy, follow: true });
  await until(() => {
    const { pagesHeld, pagesNamed } = idle.status();
    return pagesHeld > 0 && pagesHeld === pagesNamed ? true : undefined;
  });
  await idle.close();
  assert.equal((await gate(DOWN).check(request())).status, 503);
});

test('what is kept is verified like what comes from a source', async () => {
  const good = await kept();
  const [name] = [...good.names.keys()].filter((name) => name.startsWith('objects/'));
  const changed = (change) => {
    const copy = new Memory();
    copy.names = new Map([...good.names].map(([name, bytes]) => [name, bytes.slice()]));
    change(copy.names, copy);
    return copy;
  };
  const flip = (bytes) => {
    bytes[bytes.length >> 1] ^= 1;
  };
  const never = () => new Promise(() => {});
  const bad = {
    'nothing is there': changed((names) => names.clear()),
    'the head is torn': changed((names) => names.set('head', names.get('head').slice(0, 40))),
    'the head is altered': changed((names) => flip(names.get('head'))),
    'the head is junk': changed((names) => names.set('head', new Uint8Array(100))),
    'the head is no bytes': changed((names) => names.set('head', 'head')),
    'the head is a flood': changed((names) => names.set('head', new Uint8Array(10 << 20))),
    'a stranger signed the head': changed((names) => names.set('head', head('first', { release: 'stranger', by: 'stranger' }))),
    'the head is past the grace': changed((names) => names.set('head', head('first', { asOf: Date.now() - 1_000_000 }))),
    'the head is of the future': changed((names) => names.set('head', head('first', { asOf: Date.now() + 60_000 }))),
    'every object is altered': changed((names) => names.forEach((bytes, name) => name !== 'head' && flip(bytes))),
    'every object is another': changed((names) => names.forEach((_, other) => other !== 'head' && names.set(other, names.get(other === name ? 'head' : name)))),
    'every object is gone': changed((names) => [...names.keys()].forEach((name) => name !== 'head' && names.delete(name))),
    'it throws': changed((_, copy) => (copy.load = () => { throw new Error('at once'); })),
    'it rejects': changed((_, copy) => (copy.load = down)),
    'it never answers': changed((_, copy) => (copy.load = never)),
  };
  for (const [name, copy] of Object.entries(bad)) {
    const verdict = await gate(DOWN, { copy }).check(request());
    assert.deepEqual([verdict.allowed, verdict.status], [false, 503], name);
    // A source that answers is believed all the same.
    assert.equal((await gate(new Place(), { copy }).check(request())).allowed, true, `${name}, and the source answers`);
  }
});

test('a head that is older than the floor is refused, kept or not', async () => {
  const copy = await kept();
  const floor = (generation) => ({ ...trust(), LATCHKEY_FLOOR: `1,${generation}` });
  assert.equal((await gate(DOWN, { copy, trust: floor(10) }).check(request())).allowed, true);
  assert.equal((await gate(DOWN, { copy, trust: floor(11) }).check(request())).status, 503);
});

test('what was kept before a revocation is outdone by the source, and what was kept after it knows of it', async () => {
  const [copy, place] = [await kept(), new Place()];
  place.publish('first', { inline: [{ generation: 11, tag: fixture.keys.alpha_member.tag }] });
  const one = gate(place, { copy });
  await until(async () => ((await one.check(request())).code === 'revoked' ? true : undefined));
  // It is kept with the next look.
  await until(async () => {
    await one.check(request());
    return (await gate(DOWN, { copy }).check(request())).code === 'revoked' ? true : undefined;
  });
  await one.close();
});

test('a place that keeps nothing breaks nothing', async () => {
  const never = () => new Promise(() => {});
  for (const save of [() => { throw new Error('full'); }, down, never]) {
    const warned = [];
    const copy = { load: async () => null, save };
    const one = createGate({ source: new Place(), trust: trust(), follow: false, warn: (message) => warned.push(message), copy });
    assert.equal((await one.check(request())).allowed, true);
    assert.equal(one.broken, false);
    await one.close();
    if (save !== never) await until(() => (warned.some((message) => message.includes('cannot be kept')) ? true : undefined));
  }
});

test('a directory is a copy that only its owner may read, and forgets what nothing names', async () => {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-copy-'));
  try {
    const state = join(path, 'state');
    const objects = join(state, 'objects');
    await kept(state, () => existsSync(join(state, 'head')));
    assert.equal(statSync(objects).mode & 0o777, 0o700);
    assert.equal((await gate(DOWN, { copy: state }).check(request())).allowed, true);
    const own = readdirSync(objects);
    const [old, young] = ['0', '1'].map((digit) => digit.repeat(64));
    for (const name of [old, young]) writeFileSync(join(objects, name), 'x');
    const anHour = new Date(Date.now() - 3_700_000);
    for (const name of [...own, old]) utimesSync(join(objects, name), anHour, anHour);
    await kept(state, () => !existsSync(join(objects, old)));
    assert.deepEqual(readdirSync(objects).sort(), [...own, young].sort());
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
});

test('a copy is not made of what is not understood', () => {
  for (const copy of [null, {}, 7, { load: async () => null }, { load: 'x', save: 'y' }]) {
    assert.throws(() => createGate({ source: new Place(), trust: trust(), follow: false, copy }), TypeError, JSON.stringify(copy));
  }
});
