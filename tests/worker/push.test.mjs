// The push route and the hub behind it (docs/spec/push.md): what is taken, what is refused, what survives.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Worker, fixture, head, objects, until } from './support.mjs';

const HEAD_LEN_MAX = 4096;
const OBJECT_LEN_MAX = 4 << 20;

const persist = mkdtempSync(join(tmpdir(), 'latchkey-push-test-'));
let worker;
before(async () => (worker = await Worker.start({ persist })));
after(async () => {
  await worker?.stop();
  rmSync(persist, { recursive: true, force: true });
});

function refused(answer, status, code) {
  assert.deepEqual([answer.status, answer.json?.code], [status, code], answer.text);
  assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
}

test('a wrong or absent token is refused before anything is looked at', async () => {
  for (const token of [null, '', 'wrong', 'a push token for the tests onlY', 'a push token for the tests onl']) {
    for (const path of ['head', 'root/2', `objects/${'0'.repeat(64)}`, 'anything']) {
      const answer = await worker.push(path, 'x', { token });
      refused(answer, 401, 'unauthenticated');
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
    }
    refused(await worker.push('status', undefined, { method: 'GET', token }), 401, 'unauthenticated');
  }
});

test('paths and methods outside the protocol do not exist', async () => {
  for (const path of ['', 'heads', 'head/', 'root/', 'root/0', 'root/01', 'root/-1', 'objects/xyz', `objects/${'A'.repeat(64)}`, 'push/head']) {
    refused(await worker.push(path, 'x'), 404, 'not_found');
  }
  for (const [path, method] of [['head', 'GET'], ['head', 'POST'], ['head', 'DELETE'], ['status', 'PUT'], ['root/2', 'GET']]) {
    const body = method === 'GET' ? undefined : 'x';
    refused(await worker.push(path, body, { method }), 405, 'method_not_allowed');
  }
});

test('an edge reads the hub through its binding alone', async () => {
  for (const path of ['/head', '/root/1', `/objects/${objects('first')[0].digest}`, '/.latchkey/head', '/.latchkey/objects/x']) {
    const { status } = await worker.get(path);
    assert.ok(status === 401 || status === 404 || status === 503, `${path}: ${status}`);
  }
});

test('a body that is too long is refused, declared or not', async () => {
  refused(await worker.push('head', Buffer.alloc(HEAD_LEN_MAX + 1)), 413, 'too_long');
  refused(await worker.push('root/2', Buffer.alloc(8193)), 413, 'too_long');
  refused(await worker.push(`objects/${'0'.repeat(64)}`, Buffer.alloc(OBJECT_LEN_MAX + 1)), 413, 'too_long');
  const chunks = [Buffer.alloc(4000), Buffer.alloc(97)];
  const stream = new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift();
      if (chunk) controller.enqueue(chunk);
      else controller.close();
    },
  });
  refused(await worker.push('head', stream), 413, 'too_long');
  // One byte less is long enough to be read, and then no head.
  refused(await worker.push('head', Buffer.alloc(HEAD_LEN_MAX)), 422, 'head_malformed');
});

test('what is no head is refused with the check that failed', async () => {
  refused(await worker.push('head', ''), 422, 'head_malformed');
  refused(await worker.push('head', 'LKH1'), 422, 'head_malformed');
  const good = head('first');
  refused(await worker.push('head', good.subarray(0, good.length - 1)), 422, 'head_malformed');
  refused(await worker.push('head', Buffer.concat([good, Buffer.alloc(1)])), 422, 'head_malformed');
  refused(await worker.push('head', head('first', { by: 'stranger' })), 422, 'head_signatures');
  refused(await worker.push('head', head('first', { by: 'release' })), 422, 'head_signatures');
  refused(await worker.push('head', head('first', { release: 'stranger' })), 422, 'statement_signatures');
});

test('a head of another installation is refused', async () => {
  const foreign = head('first');
  // The installation stands 4 bytes into the statement, which begins at 18.
  foreign[18 + 4] ^= 1;
  refused(await worker.push('head', foreign), 422, 'installation');
});

test('a head from the future is refused, one within a second is not', async () => {
  refused(await worker.push('head', head('first', { asOf: Date.now() + 5000 })), 422, 'as_of_ahead');
});

test('an object that nobody named is refused, whoever brings it', async () => {
  const [manifest, node] = objects('first');
  refused(await worker.push(`objects/${manifest.digest}`, manifest.bytes), 404, 'object_not_named');
  refused(await worker.push(`objects/${node.digest}`, node.bytes), 404, 'object_not_named');
});

test('a head comes before its objects, names what is missing, and is taken when all is there', async () => {
  assert.equal((await worker.hubStatus()).generation, null);
  const all = new Map(objects('first').map(({ digest, bytes }) => [digest, bytes]));
  const rounds = [];
  const asOf = Date.now();
  for (;;) {
    const answer = await worker.push('head', head('first', { asOf }));
    if (answer.status === 200) {
      assert.equal(answer.json.generation, 10);
      assert.equal(answer.json.as_of, asOf);
      assert.ok(Math.abs(answer.json.now - Date.now()) < 5000);
      break;
    }
    refused(answer, 409, 'objects_missing');
    rounds.push(answer.json.missing.length);
    assert.ok(rounds.length < 10);
    for (const digest of answer.json.missing) {
      const bytes = all.get(digest);
      const flipped = Buffer.from(bytes);
      flipped[flipped.length >> 1] ^= 1;
      refused(await worker.push(`objects/${digest}`, flipped), 422, 'object_digest');
      refused(await worker.push(`objects/${digest}`, bytes.subarray(1)), 422, 'object_length');
      refused(await worker.push(`objects/${digest}`, Buffer.concat([bytes, Buffer.alloc(1)])), 413, 'too_long');
      assert.equal((await worker.push(`objects/${digest}`, bytes)).status, 204);
      assert.equal((await worker.push(`objects/${digest}`, bytes)).status, 204, 'a second time');
    }
  }
  assert.equal(rounds[0], 1, 'first the manifest');
  assert.equal(rounds.length, 3, 'then the nodes, then the pages');
  const status = await worker.hubStatus();
  assert.deepEqual([status.generation, status.as_of, status.root_version, status.pending], [10, asOf, 1, null]);
  assert.equal(status.objects, objects('first').length);
});

test('every flipped bit of a head is refused and changes nothing', async () => {
  const before = await worker.hubStatus();
  const good = head('first');
  // One bit of every byte here; every single bit is the ledger's own test.
  for (let at = 0; at < good.length; at += 3) {
    const flipped = Buffer.from(good);
    flipped[at] ^= 1 << at % 8;
    const { status } = await worker.push('head', flipped);
    assert.ok(status === 409 || status === 422, `byte ${at}: ${status}`);
  }
  const { generation, as_of } = await worker.hubStatus();
  assert.deepEqual([generation, as_of], [before.generation, before.as_of]);
});

test('the same head again is no news; an older one and another of its rank are refused', async () => {
  const asOf = Date.now();
  const newest = head('first', { asOf });
  assert.equal((await worker.push('head', newest)).status, 200);
  assert.equal((await worker.push('head', newest)).status, 200);
  const older = await worker.push('head', head('first', { asOf: asOf - 1 }));
  refused(older, 409, 'older');
  assert.deepEqual([older.json.generation, older.json.as_of], [10, asOf]);
  const { conflicts } = await worker.hubStatus();
  const other = head('first', { asOf, inline: [{ generation: 11, project: 10 }] });
  refused(await worker.push('head', other), 409, 'conflict');
  assert.equal((await worker.hubStatus()).conflicts, conflicts + 1);
});

test('a head with a revocation over the statement that is held is taken while a newer one awaits objects', async () => {
  refused(await worker.push('head', head('second')), 409, 'objects_missing');
  const answer = await worker.push('head', head('first', { inline: [{ generation: 12, project: 10 }] }));
  assert.equal(answer.status, 200, answer.text);
  const status = await worker.hubStatus();
  assert.deepEqual([status.generation, status.inline, status.pending?.generation], [10, 1, 11]);
});

test('what was acknowledged survives that the process is killed', async () => {
  const before = await worker.hubStatus();
  await worker.stop();
  worker = await Worker.start({ persist });
  const { now: _, ...kept } = await worker.hubStatus();
  const { now: __, ...expected } = before;
  assert.deepEqual(kept, expected);
  const published = await worker.publish('second');
  assert.deepEqual([published.status, published.json.generation], [200, 11]);
  refused(await worker.push('head', head('first')), 409, 'older');
});

test('more missing objects than one answer names are named one answer after the other', async () => {
  const first = await worker.push('head', head('wide'));
  refused(first, 409, 'objects_missing');
  const all = new Map(objects('wide').map(({ digest, bytes }) => [digest, bytes]));
  let answer = first;
  const listed = [];
  while (answer.status === 409) {
    listed.push(answer.json.missing.length);
    for (const digest of answer.json.missing) {
      assert.equal((await worker.push(`objects/${digest}`, all.get(digest))).status, 204);
    }
    answer = await worker.push('head', head('wide'));
  }
  assert.equal(answer.status, 200);
  assert.ok(listed.includes(64) && Math.max(...listed) === 64, `${listed}`);
});

test('many pushers at once leave one head, the newest', async () => {
  const base = Date.now();
  const pushes = Array.from({ length: 40 }, (_, index) => head('wide', { asOf: base - 20 + ((index * 7) % 40) }));
  const answers = await Promise.all(pushes.map((bytes) => worker.push('head', bytes)));
  for (const { status } of answers) assert.ok(status === 200 || status === 409, `${status}`);
  assert.equal((await worker.hubStatus()).as_of, base + 19);
});

test('a root follows the one held, and then the heads under the old one are refused', async () => {
  const second = Buffer.from(fixture.roots[2], 'hex');
  refused(await worker.push('root/3', second), 409, 'root_missing');
  refused(await worker.push('head', head('wide', { rootVersion: 2, release: 'release_2', by: 'head_2' })), 409, 'root_missing');
  const flipped = Buffer.from(second);
  flipped[30] ^= 1;
  refused(await worker.push('root/2', flipped), 422, 'root_own_signatures');
  refused(await worker.push('root/1', second), 409, 'conflict');
  assert.equal((await worker.push('root/1', Buffer.from(fixture.roots[1], 'hex'))).status, 204);
  assert.equal((await worker.push('root/2', second)).status, 204);
  assert.equal((await worker.push('root/2', second)).status, 204, 'a second time');
  assert.equal((await worker.hubStatus()).root_version, 2);
  refused(await worker.push('head', head('wide')), 409, 'older');
  const renewed = await worker.publish('wide', { rootVersion: 2, release: 'release_2', by: 'head_2' });
  assert.equal(renewed.status, 200, renewed.text);
  refused(await worker.push('head', head('wide', { rootVersion: 2, release: 'release', by: 'head_2' })), 422, 'statement_signatures');
});

test('an edge follows the roots by itself', async () => {
  const pulse = worker.keepFresh('wide', { rootVersion: 2, release: 'release_2', by: 'head_2' });
  try {
    const answer = await until(async () => {
      const answer = await worker.whoami('alpha_member');
      return answer.status === 200 ? answer : undefined;
    });
    assert.equal(answer.json.generation, 13);
    assert.equal((await worker.edgeStatus()).details.root_version, 2);
  } finally {
    await pulse.stop();
  }
});

test('no token is in the log', () => {
  assert.ok(!worker.logged().includes('for the tests only'));
});
