// The library and the edge, which is the real Worker in workerd, say the same of every request: status, body and headers where it
// is refused, and who calls where it is let in.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Place, bearer, fixture, gate, key, origin, serving, session, sessionToken } from './support.mjs';

let worker;
let stop;
let behind;
before(async () => {
  behind = await origin((request, response) => {
    request.resume();
    request.on('end', () => response.end(JSON.stringify(request.headers)));
  });
  ({ worker, stop } = await serving({ variables: { ORIGIN: behind.url, LATCHKEY_EDGE_KEY: undefined } }));
});
after(async () => {
  await stop?.();
  await behind?.close();
});

const OURS = /^latchkey-(key|identity|project|organization|role|model)$/;
const COMPARED = ['content-type', 'cache-control', 'www-authenticate', 'retry-after', 'latchkey-generation', 'latchkey-stale'];

function named(headers) {
  return Object.fromEntries([...headers].filter(([name]) => OURS.test(name) || name === 'authorization').sort());
}

async function byEdge(path, init) {
  const answer = await worker.request(path, init);
  if (answer.status === 200 && path !== '/v1/whoami') return { caller: named(Object.entries(JSON.parse(answer.text))) };
  return { status: answer.status, body: answer.json ?? answer.text, headers: compared(answer.headers) };
}

async function byLibrary(one, path, init) {
  const request = new Request(worker.url + path, init);
  if (path === '/v1/whoami') {
    const answer = await one.whoami(request);
    return { status: answer.status, body: await answer.json(), headers: compared(answer.headers) };
  }
  const verdict = await one.check(request);
  if (verdict.allowed) return { caller: named(verdict.request().headers) };
  const answer = verdict.response();
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? '' : JSON.parse(text), headers: compared(answer.headers) };
}

function compared(headers) {
  const all = Object.fromEntries(COMPARED.map((name) => [name, headers.get(name)]));
  // What there is no body of has no type.
  if (all['content-type'] === 'text/plain') all['content-type'] = null;
  return all;
}

const PATHS = [
  ['GET', '/v1/whoami'],
  ['GET', '/v1/projects/alpha/models'],
  ['GET', `/v1/projects/${fixture.projects.alpha.id}/models`],
  ['GET', '/v1/projects/beta/models'],
  ['GET', '/v1/projects/nobody/models'],
  ['POST', '/v1/projects/alpha/clusters'],
  ['GET', '/v1/projects/alpha/files/file-1'],
  ['GET', '/v1/projects/alpha/files/file-2'],
  ['POST', '/v1/echo'],
  ['POST', '/v1/chat'],
  ['GET', '/v1/shared'],
  ['GET', '/v1/shared/alpha'],
  ['GET', '/v1/shared/beta'],
  ['POST', '/v1/shared'],
  ['DELETE', '/v1/shared'],
  ['GET', '/v1/manage'],
  ['GET', '/v1/query'],
  ['GET', '/v1/query?project=alpha'],
  ['GET', '/v1/query?project=alpha&project=beta'],
  ['GET', '/v1/query?Project=alpha&project=alpha'],
  ['GET', '/v1/header'],
  ['GET', '/v1/public'],
  ['GET', '/v1/kept'],
  ['DELETE', '/v1/shadow'],
  ['GET', '/v1/nowhere'],
  ['PUT', '/v1/echo'],
  ['GET', '/v1//echo'],
  ['GET', '/v1/echo/'],
  ['GET', '/v1/%65cho'],
  ['GET', '/v1/named/a%2Fb'],
  ['GET', '/v1/named/a;b'],
  ['GET', '/v1/named/a%zz'],
  ['GET', '/v1/named/%ff'],
  ['GET', '/v1/named/a|b'],
  ['GET', '/v1/named/../echo'],
];

function credentials() {
  const all = Object.keys(fixture.keys).map((name) => [name, bearer(name)]);
  for (const person of Object.keys(fixture.people)) {
    all.push([`session of ${person}`, session(person)]);
    all.push([`session of ${person} in alpha`, { ...session(person), 'latchkey-project': 'alpha' }]);
  }
  const [person] = Object.keys(fixture.people);
  const text = key('alpha_member');
  return [
    ...all,
    ['imported', { authorization: `Bearer ${fixture.imported.text}` }],
    ['no credential', {}],
    ['an ended token', { authorization: `Bearer ${sessionToken(person, { issued: 1_000_000_000 })}` }],
    ['another scheme', { authorization: `Basic ${text}` }],
    ['a key twice', { authorization: `Bearer ${text}, Bearer ${text}` }],
    ['a key in another case', { authorization: `BEARER ${text}` }],
    ['a key cut short', { authorization: `Bearer ${text.slice(0, -1)}` }],
    ['another project in the header', { ...bearer('alpha_member'), 'latchkey-project': 'beta' }],
    ['projects in the header', { ...bearer('alpha_member'), 'latchkey-project': 'alpha, alpha' }],
    ['a header of ours', { ...bearer('alpha_member'), 'latchkey-role': 'admin', latchkey_key: 'x' }],
    ['a header that a rule reads', { ...bearer('alpha_member'), 'x-project': 'alpha', 'x-model': 'meta/llama-3' }],
    ['a header that reads as one', { ...bearer('alpha_member'), 'x-project': 'alpha', x_project: 'beta' }],
  ];
}

test('the library says of every request what the edge says', async () => {
  const one = gate(new Place());
  const differing = [];
  let [refusals, callers] = [0, 0];
  for (const [who, headers] of credentials()) {
    for (const [method, path] of PATHS) {
      const init = { method, headers, ...(method === 'POST' ? { body: '{}' } : {}) };
      // A rate is counted by each for itself.
      if (who === 'slow') continue;
      const [edge, library] = [await byEdge(path, init), await byLibrary(one, path, init)];
      if (library.caller) callers += 1;
      else refusals += 1;
      try {
        assert.deepEqual(library, edge);
      } catch (error) {
        differing.push(`${who}: ${method} ${path}: ${error.message}`);
      }
    }
  }
  assert.deepEqual(differing, []);
  assert.ok(refusals > 500 && callers > 100, `${refusals} refusals, ${callers} callers`);
});

test('the library looks into bodies as the edge does', async () => {
  const one = gate(new Place());
  const model = 'meta/llama-3';
  const filler = 'a'.repeat(66_000);
  const bodies = [
    '',
    '{}',
    'null',
    `{"model":"${model}"}`,
    `{"model":"${model}"} x`,
    `{"model":"other"}`,
    `{"model":"${model}","model":"${model}"}`,
    `{"model":"${model}","MODEL":"other"}`,
    `{"mod\\u0065l":"${model}"}`,
    `{"x":{"model":"other"},"model":"${model}"}`,
    `{"model":"${model}","x":"${filler}"}`,
    `{"x":"${filler}","model":"${model}"}`,
    `{"x":"${'a'.repeat(65_536 - 8)}"}`,
    `[{"model":"${model}"}]`,
  ];
  for (const body of bodies) {
    for (const headers of [bearer('of_model'), bearer('alpha_member'), { ...bearer('of_model'), 'content-encoding': 'gzip' }]) {
      const init = { method: 'POST', headers, body };
      assert.deepEqual(await byLibrary(one, '/v1/body', init), await byEdge('/v1/body', init), body.slice(0, 60));
    }
  }
});

test('pages of other origins are answered as the edge answers them', async () => {
  const one = gate(new Place());
  // A gate that knows no rules yet answers no preflight.
  assert.equal((await one.check(new Request(`${worker.url}/v1/echo`, { method: 'POST', headers: bearer('alpha_member') }))).allowed, true);
  const names = ['access-control-allow-origin', 'access-control-allow-methods', 'access-control-allow-headers', 'access-control-max-age', 'access-control-expose-headers', 'vary'];
  for (const page of ['https://app.example', 'https://other.example']) {
    for (const init of [
      { method: 'OPTIONS', headers: { origin: page, 'access-control-request-method': 'POST' } },
      { method: 'OPTIONS', headers: { origin: page, 'access-control-request-method': 'PUT' } },
      { method: 'OPTIONS', headers: { origin: page } },
      { method: 'POST', headers: { origin: page } },
      { method: 'POST', headers: { origin: page, ...bearer('alpha_member') } },
    ]) {
      // `fetch` of a server may say such headers; a Request's constructor lets them be as well.
      const edge = await worker.request('/v1/echo', init);
      const verdict = await one.check(new Request(`${worker.url}/v1/echo`, init));
      const answer = verdict.allowed ? verdict.share(new Response('')) : verdict.response();
      const of = (headers) => names.map((name) => headers.get(name));
      assert.deepEqual([answer.status, ...of(answer.headers)], [edge.status, ...of(edge.headers)], JSON.stringify(init));
    }
  }
});
