// Envoy's ext_authz by gRPC, asked by another client than Envoy: what is missing or odd in a question is refused.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { bearer, fixture, FORWARD_TOKEN } from '../worker/support.mjs';
import { startGate } from './support.mjs';

const definition = loader.loadSync(join(import.meta.dirname, 'ext_authz.proto'), { keepCase: true, oneofs: true });
const { Authorization } = grpc.loadPackageDefinition(definition).envoy.service.auth.v3;
const CHECK = '/envoy.service.auth.v3.Authorization/Check';
const MODELS = '/v1/projects/alpha/models';

let gate;
let client;
before(async () => {
  gate = await startGate('native', { flags: ['--ext-authz', '127.0.0.1:0', '--forward-client', 'peer'] });
  client = new Authorization(gate.addresses[1], grpc.credentials.createInsecure());
});
after(async () => {
  client?.close();
  await gate?.stop();
});

function call(question, { tokens = [FORWARD_TOKEN], method = 'Check' } = {}) {
  const metadata = new grpc.Metadata();
  for (const token of tokens) metadata.add('latchkey-forward-token', token);
  return new Promise((resolve, reject) => {
    client[method](question, metadata, { deadline: Date.now() + 10_000 }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

/** Asks with these bytes as they are. */
function garbage(bytes, tokens = [FORWARD_TOKEN]) {
  const metadata = new grpc.Metadata();
  for (const token of tokens) metadata.add('latchkey-forward-token', token);
  const plain = (value) => value;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(CHECK, plain, plain, bytes, metadata, { deadline: Date.now() + 10_000 }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

const good = () => ({ method: 'GET', path: MODELS, host: 'api.example', headers: bearer('alpha_member') });
const peer = (address) => (address === undefined ? {} : { source: { address: { socket_address: { address } } } });
const question = (http, source) => ({ attributes: { ...peer(source), request: { http } } });
const ask = (changes = {}, source) => call(question({ ...good(), ...changes }, source));
const named = (headers) => Object.fromEntries(headers.map(({ header, append_action }) => {
  assert.equal(append_action, 2, 'it takes the place of what was there');
  return [header.key, header.value];
}));

function letIn({ status, ok_response: ok }) {
  assert.ok(ok, 'it is a yes');
  assert.equal(status?.code ?? 0, 0);
  return { told: named(ok.headers ?? []), removed: ok.headers_to_remove ?? [], answered: named(ok.response_headers_to_add ?? []) };
}

function refused({ status, denied_response: denied }, expected, code) {
  assert.ok(denied, 'it is a no');
  assert.equal(status.code, grpc.status.PERMISSION_DENIED);
  const body = JSON.parse(denied.body);
  assert.deepEqual([denied.status.code, body.status], [expected, expected]);
  assert.match(body.code, code);
  const headers = named(denied.headers);
  assert.equal(headers['content-type'], 'application/problem+json');
  return { body, headers };
}

test('a yes names the caller, and takes away the credential and what could be taken for the gate', async () => {
  const spoofed = { 'latchkey-key': 'evil', latchkey_role: 'evil', 'latchkey-else': 'evil', 'x-original-url': '/evil', 'x-kept': '1' };
  const { told, removed, answered } = letIn(await ask({ headers: { ...bearer('alpha_member'), ...spoofed } }));
  assert.deepEqual(told, {
    'latchkey-key': fixture.keys.alpha_member.id,
    'latchkey-project': fixture.projects.alpha.id,
    'latchkey-organization': fixture.organizations.Acme.id,
    'latchkey-role': 'member',
  });
  assert.deepEqual(removed.sort(), ['authorization', 'latchkey-else', 'latchkey_role', 'x-original-url']);
  assert.equal(answered['latchkey-generation'], '10');
  assert.deepEqual(letIn(await ask({ path: '/v1/kept' })).removed, [], 'a rule keeps the credential');
  const nobody = letIn(await ask({ path: '/v1/public', headers: { 'latchkey-key': 'evil' } }));
  assert.deepEqual([nobody.told, nobody.removed.sort()], [{}, ['authorization', 'latchkey-key']]);
});

test('a no has the status, the body and the headers of the gate', async () => {
  const challenge = refused(await ask({ headers: {} }), 401, /^unauthenticated$/).headers['www-authenticate'];
  assert.equal(challenge, 'Bearer');
  refused(await ask({ headers: bearer('revoked') }), 401, /^revoked$/);
  refused(await ask({ path: '/v1/cached', headers: bearer('spent') }), 402, /^budget_exhausted$/);
  const { body } = refused(await ask({ method: 'POST', path: '/v1/projects/alpha/clusters' }), 403, /^permission_denied$/);
  assert.equal(body.permission, 'clusters.create');
  refused(await ask({ path: '/v1/projects/beta/models' }), 404, /^not_found$/);
  const later = { ...bearer('alpha_member'), 'latchkey-min-generation': fixture.tokens[15] };
  const { headers } = refused(await ask({ headers: later }), 503, /^generation_not_reached$/);
  assert.equal(headers['retry-after'], '1');
  refused(await ask({ path: '/v1/hosted', host: 'admin.example' }), 403, /^permission_denied$/);
});

test('only a caller with the token is answered, and nothing else is served', async () => {
  for (const tokens of [[], [''], ['wrong'], [`${FORWARD_TOKEN}x`], [FORWARD_TOKEN, FORWARD_TOKEN]]) {
    await assert.rejects(call(question(good()), { tokens }), { code: grpc.status.UNAUTHENTICATED });
    await assert.rejects(call(question(good()), { tokens, method: 'Other' }), { code: grpc.status.UNAUTHENTICATED });
    for (const bytes of [Buffer.from([0xff]), Buffer.alloc(1 << 20, 0x08)]) {
      await assert.rejects(garbage(bytes, tokens), { code: grpc.status.UNAUTHENTICATED });
    }
  }
  await assert.rejects(call(question(good()), { method: 'Other' }), { code: grpc.status.UNIMPLEMENTED });
});

test('a stranger is answered before it has said anything but who it is', async () => {
  const session = http2.connect(`http://${gate.addresses[1]}`);
  try {
    // The call never ends.
    const stream = session.request({ ':method': 'POST', ':path': CHECK, 'content-type': 'application/grpc', te: 'trailers' }, { endStream: false });
    stream.on('error', () => {});
    const headers = await new Promise((resolve, reject) => {
      stream.on('response', resolve);
      session.on('error', reject);
    });
    assert.equal(headers['grpc-status'], `${grpc.status.UNAUTHENTICATED}`);
  } finally {
    session.destroy();
  }
});

test('what is missing or odd is refused', async () => {
  for (const whole of [{}, { attributes: {} }, { attributes: { request: {} } }]) refused(await call(whole), 400, /^forward_headers$/);
  const raw = (...headers) => ({ headers: {}, header_map: { headers } });
  for (const odd of [
    { method: '' },
    { method: 'get' },
    { method: 'GET POST' },
    { path: '' },
    { path: '*' },
    { path: 'v1/named/a' },
    { path: 'http://api.example/v1/named/a' },
    { path: `${MODELS} HTTP/1.1` },
    { query: 'a=1' },
    { fragment: 'a' },
    { headers: { ...bearer('alpha_member'), ':path': '/v1/other' } },
    { headers: { ...bearer('alpha_member'), ':method': 'POST' } },
    { headers: { ...bearer('alpha_member'), ':authority': 'other' } },
    { headers: { ...bearer('alpha_member'), 'a b': '1' } },
    { headers: { ...bearer('alpha_member'), a: 'b\nc' } },
    { headers: { ...bearer('alpha_member'), '': '1' } },
    { header_map: { headers: [{ key: 'authorization', value: bearer('alpha_member').authorization }] } },
    raw({ key: 'authorization', value: bearer('alpha_member').authorization, raw_value: Buffer.from('x') }),
  ]) {
    refused(await ask(odd), 400, /^forward_headers$/);
  }
  for (const path of ['/v1/named/../manage', '/v1/named//a', '/v1/named/a%2fb', '/v1/named/a#b', '/v1/named/é']) {
    refused(await ask({ path }), 400, /^path_/);
  }
});

test('a credential that stands twice is none, joined or in lines', async () => {
  const { authorization: once } = bearer('alpha_member');
  const line = (key, value) => ({ key, raw_value: Buffer.from(value) });
  const lines = (...headers) => ask({ headers: {}, header_map: { headers } });
  letIn(await lines(line('authorization', once), line(':path', MODELS)));
  refused(await ask({ headers: { authorization: `${once},${once}` } }), 401, /^unauthenticated$/);
  refused(await ask({ headers: { authorization: once, Authorization: once } }), 401, /^unauthenticated$/);
  refused(await lines(line('authorization', once), line('authorization', once)), 401, /^unauthenticated$/);
  refused(await lines(line('authorization', once), line('Authorization', 'Bearer x')), 401, /^unauthenticated$/);
});

test('the address of a client is the one that Envoy names, where the gate is told so', async () => {
  const asked = { path: '/v1/cached', headers: { ...bearer('in_network'), 'x-forwarded-for': '10.1.2.3' } };
  for (const source of ['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::1']) letIn(await ask(asked, source));
  for (const source of [undefined, '', '192.0.2.1', '10.1.2.3, 10.1.2.4', '10.1.2.3:80', 'x']) {
    refused(await ask(asked, source), 403, /^network_not_allowed$/);
  }
});

test('a body is not looked into, whole or cut off', async () => {
  const asked = { method: 'POST', path: '/v1/body' };
  for (const body of ['{"model":"meta/llama-3"}', '{"model":"meta/lla', '']) {
    letIn(await ask({ ...asked, body }));
    refused(await ask({ ...asked, body, headers: bearer('of_model') }), 403, /^narrowed$/);
  }
});

test('a question that is too long or none ends the call', async () => {
  const limits = [grpc.status.RESOURCE_EXHAUSTED, grpc.status.OUT_OF_RANGE];
  await assert.rejects(ask({ body: 'x'.repeat(200_000) }), (error) => limits.includes(error.code));
  for (const bytes of [Buffer.from([0xff]), Buffer.from([0x0a, 0x05, 0x01]), Buffer.alloc(64, 0x08)]) {
    await assert.rejects(garbage(bytes), (error) => [grpc.status.INTERNAL, grpc.status.INVALID_ARGUMENT].includes(error.code));
  }
  letIn(await ask());
});
