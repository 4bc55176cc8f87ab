// The decision log: a line for each decision that is drawn, with its cause and nothing that the caller chose.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bearer, fixture, key, origin, serving, until } from './support.mjs';

/** All that a line may have (docs/operations.md). */
const FIELDS = new Set([
  'v', 'at_ms', 'outcome', 'code', 'cause', 'request', 'method', 'host', 'rule', 'permission', 'key', 'identity', 'role',
  'project', 'generation', 'age_ms', 'stale', 'again', 'took_ms',
]);
const WORD = 'Wisely-Chosen-Word';
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

let upstream;

before(async () => {
  upstream = await origin((request, response) => response.end('the origin'));
});
after(async () => {
  await upstream?.close();
});

/** What the Worker wrote; wrangler may put the script's name before a line. */
const linesOf = (worker) =>
  worker.logged().split('\n').filter((line) => line.includes('"at_ms":')).map((line) => line.slice(line.indexOf('{')));

test('every decision is told with its cause and nothing that the caller chose', async () => {
  const { worker, stop } = await serving({ variables: { ORIGIN: upstream.url, LATCHKEY_DECISIONS: '1' } });
  try {
    const headers = { ...bearer('alpha_member'), traceparent: TRACE, 'user-agent': WORD, cookie: key('alpha_member') };
    assert.equal((await worker.get(`/v1/named/${WORD}?token=${key('alpha_member')}&${WORD}`, headers)).status, 200);
    assert.equal((await worker.get(`/${WORD}`, bearer('alpha_member'))).status, 404);
    assert.equal((await worker.get('/v1/named/a', { authorization: `Bearer ${WORD}` })).status, 401);
    const create = await worker.request(`/v1/projects/alpha/clusters`, { method: 'POST', headers, body: WORD });
    assert.equal(create.status, 403);
    assert.equal((await worker.get('/v1/public', { 'latchkey-project': WORD })).status, 200);
    assert.equal((await worker.request('/v1/shadow', { method: 'DELETE' })).status, 200);
    const find = (outcome, cause) =>
      until(() => {
        const lines = linesOf(worker).map((line) => JSON.parse(line));
        return lines.findLast((line) => line.outcome === outcome && line.cause === cause && line.rule !== undefined);
      });
    const allowed = await until(() =>
      linesOf(worker).map((line) => JSON.parse(line)).findLast((line) => line.rule === '/v1/named/{name}' && line.outcome === 'allowed'),
    );
    const alpha = fixture.keys.alpha_member;
    assert.deepEqual(
      [allowed.v, allowed.method, allowed.permission, allowed.key, allowed.role],
      [1, 'GET', 'inference.invoke', alpha.id, 'member'],
    );
    assert.match(allowed.project, /^proj_/);
    assert.ok(Number.isInteger(allowed.generation) && Number.isInteger(allowed.age_ms) && Number.isInteger(allowed.took_ms));
    const denied = await find('refused', 'permission_denied');
    assert.deepEqual([denied.code, denied.key, denied.permission], ['permission_denied', alpha.id, 'clusters.create']);
    assert.equal((await find('public', undefined)).rule, '/v1/public');
    assert.equal((await find('shadow', 'credential_missing')).rule, '/v1/shadow');
    const lines = linesOf(worker);
    const absent = lines.map((line) => JSON.parse(line)).findLast((line) => line.cause === 'absent_route');
    assert.deepEqual([absent.code, absent.key, absent.rule], ['not_found', alpha.id, undefined]);
    const secret = key('alpha_member').split('_').at(-1).slice(11);
    for (const line of lines) {
      for (const hidden of [WORD, key('alpha_member'), secret]) assert.ok(!line.includes(hidden), line);
      for (const field of Object.keys(JSON.parse(line))) assert.ok(FIELDS.has(field), line);
    }
    assert.ok(lines.some((line) => line.includes(TRACE) || /"request":"[0-9a-f]{16}/.test(line)), lines.join('\n'));
  } finally {
    await stop();
  }
});

test('refusals have a share of their own, and a setting that is none is refused', async () => {
  const { worker, stop } = await serving({ variables: { ORIGIN: upstream.url, LATCHKEY_DECISIONS: '0,refused=1' } });
  try {
    assert.equal((await worker.get('/v1/named/a', bearer('alpha_member'))).status, 200);
    assert.equal((await worker.get('/v1/named/a')).status, 401);
    await until(() => (linesOf(worker).length > 0 ? true : undefined));
    for (const line of linesOf(worker)) assert.equal(JSON.parse(line).outcome, 'refused', line);
  } finally {
    await stop();
  }
});
