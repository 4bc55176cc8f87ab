// The identity assertion (docs/spec/assertion.md): an origin checks who calls with a JOSE library, and nobody takes it for a key.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { Worker, bearer, fixture, origin, raw, session, sessionToken, serving, until } from './support.mjs';

const TYPE = 'latchkey-assertion+jwt';
const issuer = `urn:latchkey:${fixture.installation}`;

let upstream;
let worker;
let stop;
let keys;
/** What the origin was told, the newest last. */
const told = [];

before(async () => {
  upstream = await origin((request, response) => {
    told.push(request.headers);
    response.end();
  });
  const variables = { ORIGIN: upstream.url, LATCHKEY_EDGE_KEY: fixture.signers.edge.seed };
  ({ worker, stop } = await serving({ variables }));
  keys = createRemoteJWKSet(new URL(`${worker.url}/.latchkey/jwks.json`));
});
after(async () => {
  await stop?.();
  await upstream?.close();
});

/** The assertion that the origin got with a request. */
async function asserted(headers, path = '/v1/projects/alpha/models') {
  const { status, text } = await worker.get(path, headers);
  assert.equal(status, 200, text);
  return told.at(-1)['latchkey-assertion'];
}
const expected = (more) => ({ issuer, audience: upstream.url, typ: TYPE, algorithms: ['EdDSA'], ...more });
const refused = (token, options) => assert.rejects(jwtVerify(token, keys, expected(options)));

test('an origin checks who calls with the keys that the edge publishes', async () => {
  const { payload, protectedHeader } = await jwtVerify(await asserted(bearer('alpha_member')), keys, expected());
  assert.deepEqual(protectedHeader, { alg: 'EdDSA', typ: TYPE, kid: fixture.signers.edge.id });
  const { iat, exp, ...claims } = payload;
  assert.deepEqual(claims, {
    iss: issuer,
    aud: upstream.url,
    sub: fixture.keys.alpha_member.id,
    kind: 'key',
    project: fixture.projects.alpha.id,
    organization: fixture.organizations.Acme.id,
    role: 'member',
    permission: claims.permission,
  });
  assert.match(claims.permission, /^[a-z]+\.[a-z]+$/);
  assert.equal(exp - iat, 60);
  assert.ok(Math.abs(Date.now() / 1000 - iat) < 10);
});

test('a session is told by its identity', async () => {
  const headers = session('member');
  const { payload } = await jwtVerify(await asserted(headers, '/v1/shared/alpha'), keys, expected());
  assert.deepEqual([payload.sub, payload.kind], [fixture.people.member.identity, 'identity']);
});

test('the keys are public, and only they are', async () => {
  const { status, json } = await worker.get('/.latchkey/jwks.json');
  assert.equal(status, 200);
  assert.deepEqual(json.keys.map(({ kid }) => kid), [fixture.signers.edge.id]);
  assert.deepEqual(Object.keys(json.keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x']);
  assert.equal((await worker.request('/.latchkey/jwks.json', { method: 'POST', body: 'x' })).status, 405);
});

test('an assertion is refused at another origin, by another issuer, of another type, and altered', async () => {
  const token = await asserted(bearer('alpha_member'));
  await refused(token, { audience: 'https://other.example' });
  await refused(token, { issuer: 'urn:latchkey:0000' });
  await refused(token, { typ: 'JWT' });
  await refused(token, { currentDate: new Date(Date.now() + 61_000) });
  const [header, payload, signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  const admin = Buffer.from(JSON.stringify({ ...claims, role: 'admin' })).toString('base64url');
  await refused(`${header}.${admin}.${signature}`);
  const none = Buffer.from(JSON.stringify({ ...decodeProtectedHeader(token), alg: 'none' })).toString('base64url');
  await refused(`${none}.${payload}.`);
});

test('what a caller says of itself never reaches the origin', async () => {
  const { status } = await raw(worker.url, '/v1/projects/alpha/models', {
    Authorization: bearer('alpha_member').authorization,
    'Latchkey-Assertion': 'forged',
    Latchkey_Assertion: 'forged',
    'LATCHKEY.ASSERTION': 'forged',
  });
  assert.equal(status, 200);
  assert.ok(!JSON.stringify(told.at(-1)).includes('forged'));
  await jwtVerify(told.at(-1)['latchkey-assertion'], keys, expected());
});

test('of a request that passes without anybody being let in nothing is asserted', async () => {
  for (const headers of [{}, bearer('alpha_member')]) assert.equal(await asserted(headers, '/v1/public'), undefined);
});

test('it is said again to the same caller, and to no other', async () => {
  const again = await until(async () => {
    const [one, other] = [await asserted(bearer('alpha_member')), await asserted(bearer('alpha_member'))];
    return one === other ? one : undefined;
  });
  assert.notEqual(await asserted(bearer('alpha_admin')), again);
  assert.notEqual(await asserted(bearer('alpha_member'), '/v1/cached'), again, 'another permission');
});

test('no gate takes it for a credential, nor a session token that an edge key signed', async () => {
  const token = await asserted(bearer('alpha_member'));
  for (const credential of [token, sessionToken('member', { by: 'edge' })]) {
    for (const path of ['/v1/whoami', '/v1/projects/alpha/models']) {
      const before = told.length;
      const { status, json } = await worker.get(path, { authorization: `Bearer ${credential}` });
      assert.deepEqual([status, json.code], [401, 'unauthenticated']);
      assert.equal(told.length, before);
    }
  }
});

test('no key and no assertion is in the log', () => {
  const log = worker.logged();
  assert.ok(!log.includes(fixture.signers.edge.seed));
  assert.ok(!log.includes('eyJ'));
});

test('an edge whose key the manifest does not name lets nobody through', async () => {
  const variables = { ORIGIN: upstream.url, LATCHKEY_EDGE_KEY: fixture.signers.session.seed };
  const other = await serving({ variables });
  try {
    const before = told.length;
    const { status, json } = await other.worker.get('/v1/projects/alpha/models', bearer('alpha_member'));
    assert.deepEqual([status, json.code], [503, 'assertion_unavailable']);
    assert.equal(told.length, before);
    assert.equal((await other.worker.whoami('alpha_member')).status, 200);
  } finally {
    await other.stop();
  }
});

test('a key that is none is a clear error', async () => {
  const other = await Worker.start({ variables: { LATCHKEY_EDGE_KEY: 'short' } });
  try {
    assert.equal((await other.whoami('alpha_member')).status, 503);
    assert.match(other.logged(), /LATCHKEY_EDGE_KEY/);
  } finally {
    await other.stop();
  }
});
