// The decision log of the library: the same records as an edge's, and nothing that the caller chose.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGate, protect } from '@latchkey/gate';
import { Place, bearer, fixture, gate, key, trust } from './support.mjs';

/** All that a record may have (docs/operations.md). */
const FIELDS = new Set([
  'v', 'at_ms', 'outcome', 'code', 'cause', 'request', 'method', 'host', 'rule', 'permission', 'key', 'identity', 'role',
  'project', 'generation', 'age_ms', 'stale', 'again', 'took_ms',
]);
const WORD = 'Wisely-Chosen-Word';
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const request = (path, headers = {}, method = 'GET') => new Request(`http://${WORD}.example${path}`, { method, headers });

function logging(options = {}) {
  const records = [];
  return { records, one: gate(new Place(), { onDecision: (record) => records.push(record), ...options }) };
}

test('every decision is told with its cause and nothing that the caller chose', async () => {
  const { records, one } = logging();
  const headers = { ...bearer('alpha_member'), traceparent: TRACE, 'user-agent': WORD, cookie: key('alpha_member') };
  assert.equal((await one.check(request(`/v1/named/${WORD}?token=${key('alpha_member')}&${WORD}`, headers))).allowed, true);
  assert.equal((await one.check(request(`/${WORD}`, bearer('alpha_member')))).status, 404);
  assert.equal((await one.check(request('/v1/named/a', { authorization: `Bearer ${WORD}` }))).status, 401);
  assert.equal((await one.check(request('/v1/projects/alpha/clusters', { ...bearer('alpha_member'), traceparent: WORD }, 'POST'))).status, 403);
  assert.equal((await one.check(request('/v1/public', { 'latchkey-project': WORD }))).allowed, true);
  assert.equal((await one.check(request('/v1/shadow', {}, 'DELETE'))).allowed, true);
  assert.equal((await one.check(request('/v1/x', bearer('alpha_member')), { permission: 'clusters.create' })).status, 403);
  const alpha = { key: fixture.keys.alpha_member.id, role: 'member' };
  const project = fixture.projects.alpha.id;
  const told = records.map(({ at_ms, took_ms, age_ms, generation, ...rest }) => {
    assert.ok(Number.isInteger(at_ms) && Number.isInteger(took_ms));
    return rest;
  });
  const named = { method: 'GET', rule: '/v1/named/{name}', permission: 'inference.invoke' };
  assert.deepEqual(told, [
    { v: 1, outcome: 'allowed', request: TRACE, ...named, ...alpha, project },
    { v: 1, outcome: 'refused', code: 'not_found', cause: 'absent_route', ...alpha },
    { v: 1, outcome: 'refused', code: 'unauthenticated', cause: 'credential_unknown', ...named },
    { v: 1, outcome: 'refused', code: 'permission_denied', cause: 'permission_denied', method: 'POST', rule: '/v1/projects/{project}/clusters', permission: 'clusters.create', ...alpha },
    { v: 1, outcome: 'public', method: 'GET', rule: '/v1/public' },
    { v: 1, outcome: 'shadow', code: 'unauthenticated', cause: 'credential_missing', method: 'DELETE', rule: '/v1/shadow', permission: told[5].permission },
    { v: 1, outcome: 'refused', code: 'permission_denied', cause: 'permission_denied', ...alpha },
  ]);
  const secret = key('alpha_member').split('_').at(-1).slice(11);
  for (const record of records) {
    const text = JSON.stringify(record);
    for (const hidden of [WORD, WORD.toLowerCase(), key('alpha_member'), secret]) assert.ok(!text.includes(hidden), text);
    for (const field of Object.keys(record)) assert.ok(FIELDS.has(field), text);
  }
});

test('refusals have a share of their own', async () => {
  const { records, one } = logging({ decisions: '0,refused=1' });
  for (let at = 0; at < 20; at += 1) {
    await one.check(request('/v1/named/a', bearer('alpha_member')));
    await one.check(request('/v1/named/a'));
  }
  assert.deepEqual([records.length, new Set(records.map(({ outcome }) => outcome))], [20, new Set(['refused'])]);
  const none = logging({ decisions: '0' });
  await none.one.check(request('/v1/named/a'));
  assert.deepEqual(none.records, []);
});

test('a refusal for a rate is told with the project', async () => {
  const { records, one } = logging({ rate: () => false });
  assert.equal((await one.check(request('/v1/echo', bearer('slow'), 'POST'))).code, 'rate_limited');
  assert.deepEqual([records.length, records[0].cause, records[0].project], [1, 'rate_limited', fixture.projects.alpha.id]);
});

test('what is told of decisions fails nothing', async () => {
  for (const onDecision of [() => { throw new Error('full'); }, async () => { throw new Error('full'); }, () => new Promise(() => {})]) {
    const guarded = protect(gate(new Place(), { onDecision }), () => new Response('in'));
    assert.equal((await guarded(request('/v1/named/a', bearer('alpha_member')))).status, 200);
    assert.equal((await guarded(request('/v1/named/a'))).status, 401);
  }
});

test('shares that are none are refused', () => {
  const onDecision = () => {};
  for (const options of [
    { decisions: '1' },
    { onDecision: 'console' },
    { onDecision, decisions: '' },
    { onDecision, decisions: '2' },
    { onDecision, decisions: 'all' },
    { onDecision, decisions: '0.1,denied=1' },
  ]) {
    assert.throws(() => createGate({ source: new Place(), trust: trust(), follow: false, ...options }), JSON.stringify(options));
  }
});
