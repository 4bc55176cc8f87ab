// What must hold behind every proxy that asks a gate, whichever of them: a table of requests and of what becomes of them.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bearer, fixture, key, session, until } from '../worker/support.mjs';
import { exchange, startGate, startOrigin } from './support.mjs';

const MODELS = '/v1/projects/alpha/models';

/**
 * Tests one proxy with one gate.
 *
 * `start({ gate, origin })` starts the proxy. Where they differ: `down` is the status while the gate is down, `clientAddress`
 * whether the gate is told it, `bare` of which
 * statuses it hears nothing more, `tidied` which paths the proxy writes anew before it asks, and how, and `unfolds`
 * whether it makes one line of a folded header.
 */
export function suite(name, { start, kind, gateOptions, down, clientAddress = true, bare = [], tidied = {}, unfolds = false }) {
  let gate;
  let origin;
  let proxy;
  before(async () => {
    origin = await startOrigin();
    gate = await startGate(kind, gateOptions);
    proxy = await start({ gate, origin });
  });
  after(async () => {
    await proxy?.stop();
    await gate?.stop();
    await origin?.stop();
  });

  const named = (what) => `${name}: ${what}`;
  const ask = (method, target, headers, options) => exchange(proxy.address, method, target, headers, options);
  const upper = (headers) => ({ Authorization: headers.authorization });
  const member = () => upper(bearer('alpha_member'));

  /** The origin's account of a request that must have been let in. */
  async function letIn(method, target, headers, options) {
    const count = origin.asked.length;
    const answer = await ask(method, target, headers, options);
    assert.equal(answer.status, 200, `${target}: ${answer.text}`);
    assert.equal(answer.text, 'reached');
    assert.equal(origin.asked.length, count + 1);
    return origin.asked.at(-1);
  }

  /** A request that must not have reached the origin. */
  async function refused(statuses, method, target, headers, options) {
    const count = origin.asked.length;
    const answer = await ask(method, target, headers, options);
    assert.ok([statuses].flat().includes(answer.status), `${method} ${target.slice(0, 200)} ${JSON.stringify(headers).slice(0, 200)}: ${answer.status} ${answer.text}`);
    assert.equal(origin.asked.length, count, 'the origin was reached');
    for (const told of ['latchkey-key', 'latchkey-project', 'latchkey-role']) assert.equal(answer.headers[told], undefined);
    return answer;
  }

  const spoofed = {
    'Latchkey-Key': 'evil',
    'Latchkey-Identity': 'evil',
    'Latchkey-Organization': 'evil',
    'LATCHKEY-ROLE': ['evil', 'evil'],
    'Latchkey-Model': 'evil',
    'Latchkey-Assertion': 'evil',
    'Latchkey-Forward-Token': 'evil',
    'X-Original-Method': 'evil',
    'X-Original-URI': '/evil',
    'X-Original-URL': '/evil',
    'X-Rewrite-URL': '/evil',
    'X-Forwarded-Method': 'evil',
    'X-Forwarded-Uri': '/evil',
    'X-HTTP-Method-Override': 'evil',
    'X-Method-Override': 'evil',
  };

  function nothingEvil(seen) {
    assert.deepEqual(seen.lines.filter((text) => text.includes('evil')), [], `the origin got ${seen.lines}`);
    assert.equal(seen.headers.authorization, undefined);
  }

  test(named('the origin hears of its caller from the gate alone'), async () => {
    const seen = await letIn('GET', `${MODELS}?a=1&b=%2F`, { ...member(), ...spoofed, 'X-Kept': 'yes' });
    nothingEvil(seen);
    assert.equal(seen.url, `${MODELS}?a=1&b=%2F`);
    assert.equal(seen.headers['x-kept'], 'yes');
    assert.equal(seen.headers['latchkey-key'], fixture.keys.alpha_member.id);
    assert.equal(seen.headers['latchkey-project'], fixture.projects.alpha.id);
    assert.equal(seen.headers['latchkey-organization'], fixture.organizations.Acme.id);
    assert.equal(seen.headers['latchkey-role'], 'member');
    assert.equal(seen.headers['latchkey-identity'], undefined);
    const person = await letIn('GET', '/v1/shared', { ...upper(session('member')), ...spoofed, 'Latchkey-Project': 'alpha' });
    nothingEvil(person);
    assert.equal(person.headers['latchkey-identity'], fixture.people.member.identity);
    assert.deepEqual([person.headers['latchkey-project'], person.headers['latchkey-key']], [fixture.projects.alpha.id, undefined]);
    const nobody = await letIn('GET', '/v1/public', { ...spoofed, 'Latchkey-Project': 'evil' });
    nothingEvil(nobody);
    assert.ok(!nobody.lines.some((text) => /^latchkey[-_](key|project|identity|role|organization)/i.test(text)), `${nobody.lines}`);
  });

  /** A request with such headers goes nowhere, or reaches the origin as if it had none of them. */
  async function harmless(headers, target = MODELS, credential = member()) {
    const count = origin.asked.length;
    const answer = await ask('GET', target, { ...credential, ...headers });
    const said = JSON.stringify(headers);
    if (origin.asked.length === count) {
      assert.ok([400, 401, 404, 431].includes(answer.status), `${said}: ${answer.status} ${answer.text}`);
      return;
    }
    assert.equal(answer.status, 200, said);
    const seen = origin.asked.at(-1);
    nothingEvil(seen);
    const told = ['key', 'project', 'organization', 'role'].map((name) => seen.headers[`latchkey-${name}`]);
    const expected = [fixture.keys.alpha_member.id, fixture.projects.alpha.id, fixture.organizations.Acme.id, 'member'];
    assert.deepEqual(told, target === MODELS ? expected : [undefined, undefined, undefined, undefined], `${said}: ${seen.lines}`);
  }

  const ours = ['Key', 'Identity', 'Project', 'Organization', 'Role', 'Model', 'Assertion'].map((name) => `Latchkey-${name}`);
  const steering = [
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-Original-Method',
    'X-Original-URI',
    'X-Forwarded-Method',
    'X-Forwarded-Uri',
    'X-Forwarded-Prefix',
    'X-Original-Host',
    'X-Forwarded-Host',
  ];

  test(named('no spelling of a header that an origin may take for another goes on'), async () => {
    for (const name of [...ours, ...steering]) {
      const marks = ["_", ".", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|", "~"];
      const spellings = marks.map((mark) => name.replaceAll('-', mark));
      for (const spelling of [...spellings, name.replace('-', '_'), name.replace(/-(?=[^-]*$)/, '.'), name.toUpperCase().replaceAll('-', '_')]) {
        await harmless({ [spelling]: 'evil' });
      }
      await harmless({ [name.replaceAll('-', '_')]: 'evil' }, '/v1/public', {});
    }
  });

  test(named('a header that Connection names takes no word of the gate away and brings none in'), async () => {
    for (const name of [...ours, ...steering, 'Latchkey-Forward-Token']) {
      await harmless({ Connection: name });
      for (const said of [name, name.replaceAll('-', '_')]) await harmless({ Connection: `close, ${said.toLowerCase()}`, [said]: 'evil' });
      await harmless({ Connection: name, [name]: 'evil' }, '/v1/public', {});
    }
    for (const name of ['Host', 'X-Original-Client', 'X-Forwarded-For', 'X-Forwarded-Proto']) await harmless({ Connection: name });
    const all = [...ours, ...steering, 'Latchkey-Forward-Token'].join(', ');
    const lies = { 'X-Original-Method': 'GET', 'X-Original-URI': MODELS, 'X-Forwarded-Method': 'GET', 'X-Forwarded-Uri': MODELS };
    await refused([400, 403], 'POST', '/v1/projects/alpha/clusters', { ...member(), ...lies, Connection: all });
    await refused([400, 404], 'GET', '/v1/projects/beta/models', { ...member(), ...lies, Connection: all });
    await refused([400, 401], 'GET', MODELS, { ...lies, Connection: all, 'Latchkey-Key': fixture.keys.alpha_member.id });
    await harmless({ Connection: 'authorization' });
    await harmless({ Connection: all });
  });

  test(named('what a client says of the original request is not believed'), async () => {
    const lies = { 'X-Original-Method': 'GET', 'X-Original-URI': MODELS, 'X-Forwarded-Method': 'GET', 'X-Forwarded-Uri': MODELS, 'X-Original-Host': 'x', 'X-Forwarded-Host': 'x' };
    await refused(403, 'POST', '/v1/projects/alpha/clusters', { ...member(), ...lies });
    await refused(404, 'GET', '/v1/projects/beta/models', { ...member(), ...lies });
    await refused(401, 'GET', MODELS, { ...lies, 'Latchkey-Key': fixture.keys.alpha_member.id });
  });

  test(named('a host rule is about the host that the origin gets'), async () => {
    const seen = await letIn('GET', '/v1/hosted', member(), { host: 'alpha.example' });
    assert.equal(seen.headers.host, 'alpha.example');
    const others = Object.fromEntries(['Forwarded', 'X-Original-Host', 'X-Forwarded-Host'].map((name) => [name, 'host=beta.example']));
    const told = await letIn('GET', '/v1/hosted', { ...member(), ...others }, { host: 'alpha.example' });
    assert.doesNotMatch(JSON.stringify(told.headers), /beta\.example/);
    const lies = { 'X-Original-Host': 'alpha.example', 'X-Forwarded-Host': 'alpha.example' };
    await refused(403, 'GET', '/v1/hosted', { ...member(), ...lies }, { host: 'admin.example' });
    await refused(404, 'GET', '/v1/hosted', { ...member(), ...lies }, { host: 'beta.example' });
  });

  const refusals = [
    ['GET', MODELS, {}, 401, 'unauthenticated'],
    ['GET', MODELS, { Authorization: 'Bearer x' }, 401, 'unauthenticated'],
    ['GET', MODELS, { Authorization: `Bearer ${key('made_up')}` }, 401, 'unauthenticated'],
    ['GET', MODELS, upper(bearer('revoked')), 401, 'revoked'],
    ['GET', MODELS, upper(bearer('expired')), 401, 'expired'],
    ['GET', '/v1/cached', upper(bearer('spent')), 402, 'budget_exhausted'],
    ['POST', '/v1/projects/alpha/clusters', member(), 403, 'permission_denied', 'clusters.create'],
    ['GET', '/v1/projects/beta/models', member(), 404, 'not_found'],
    ['GET', '/v1/nothing', member(), 404, 'not_found'],
    ['GET', '/v1/shared', upper(session('member')), 400, 'project_header_missing'],
    ['GET', MODELS, { ...member(), 'Latchkey-Min-Generation': fixture.tokens[15] }, 503, 'generation_not_reached'],
  ];

  test(named('each refusal reaches the client as it is'), async () => {
    for (const [method, target, headers, status, code, permission] of refusals) {
      const answer = await refused(status, method, target, headers);
      if (bare.includes(status)) continue;
      const challenge = { unauthenticated: 'Bearer', revoked: 'Bearer error="invalid_token"', expired: 'Bearer error="invalid_token"' }[code];
      assert.equal(answer.headers['www-authenticate'], challenge, code);
      assert.match(answer.headers['content-type'], /^application\/problem\+json/);
      assert.equal(answer.headers['retry-after'], status === 503 ? '1' : undefined);
      assert.equal(answer.headers['latchkey-problem'], undefined);
      assert.deepEqual([answer.json.status, answer.json.code, answer.json.permission], [status, code, permission]);
      assert.equal(answer.headers['cache-control'], 'no-store');
    }
    // Twelve a minute: of forty, some are in a minute that is full.
    const statuses = new Set();
    for (let at = 0; at < 40; at += 1) statuses.add((await ask('GET', '/v1/cached', upper(bearer('slow')))).status);
    assert.deepEqual([...statuses].sort(), [200, 429]);
  });

  test(named("the origin's own refusals are its own"), async () => {
    for (const status of [401, 403, 404, 500]) {
      const answer = await ask('GET', `/v1/named/status-${status}`, member());
      assert.deepEqual([answer.status, answer.text, answer.headers['x-origin']], [status, 'reached', 'reached']);
    }
  });

  test(named('the origin gets byte by byte the path that was judged'), async () => {
    for (const target of [
      '/v1/named/a',
      '/v1/named/a?x=/../../v1/manage&y=%2E%2E%2F//',
      '/v1/named/a?',
      '/v1/named/a%20b',
      '/v1/named/a%3Fb',
      '/v1/named/%C3%A9',
      '/v1/named/a%25b',
      "/v1/named/a+b:c@d!$&'()*,=",
      '/v1/named/...',
      '/v1/named/~a',
    ]) {
      assert.equal((await letIn('GET', target, member())).url, target);
    }
  });

  test(named('a path that can be read in two ways reaches nobody'), async () => {
    // Each is under a rule once it is tidied up, in one way or another.
    for (const target of [
      '/v1/named/../named/a',
      '/v1/named/./a',
      '/v1/named/a/..',
      '/v1/named/b/../a',
      '/v1/other/..%2fnamed/a',
      '/v1/other/%2e%2e/named/a',
      '/v1/named/%2E/a',
      '/v1//named/a',
      '//v1/named/a',
      '/v1/named//a',
      '/v1/named/a/',
      '/v1/named%2fa',
      '/v1/named/a%2Fb',
      '/v1/named/%61',
      '/v1/named/a\\b',
      '/v1/named/a%5cb',
      '/v1/named/a;x=1',
      '/v1/named/..;/named/a',
      '/v1/named/a#b',
      '/v1/named/a%00',
      '/v1/named/a%0d%0aX:%20y',
      '/v1/named/a%252e',
      '/v1/named/%ff',
      '/v1/named/\xe9',
      '/v1/named/%zz',
      '/v1/named/a b',
      '/V1/named/a',
    ]) {
      if (tidied[target]) assert.equal((await letIn('GET', target, member())).url, tidied[target]);
      else await refused([400, 404], 'GET', target, member());
    }
    await refused([400, 404, 414, 431], 'GET', `/v1/named/${'a'.repeat(5000)}`, member());
    await refused([400, 414, 431], 'GET', `/v1/named/a?${'a'.repeat(100_000)}`, member());
  });

  test(named('a credential that can be read in two ways is none'), async () => {
    const good = member().Authorization;
    const none = [400, 401];
    for (const headers of [
      { Authorization: [good, good] },
      { Authorization: [good, 'Bearer x'] },
      { Authorization: good, aUTHORIZATION: 'Bearer x' },
      { Authorization: `Bearer x, ${good}` },
      { Authorization: `${good}, ${good}` },
      { Authorization: `Bearer x\r\n ${good}` },
      { 'Authorization ': good },
      { 'Proxy-Authorization': good },
      { authorization_: good },
      { 'X-Authorization': good },
      { Cookie: `authorization=${good}` },
      { Connection: 'authorization' },
    ]) {
      await refused(none, 'GET', MODELS, headers);
    }
    const folded = { Authorization: `Bearer\r\n\t${key('alpha_member')}` };
    if (unfolds) await letIn('GET', MODELS, folded);
    else await refused(none, 'GET', MODELS, folded);
    const seen = await letIn('GET', MODELS, { aUTHORIZATION: good.replace('Bearer', 'bEARER') });
    assert.equal(seen.headers['latchkey-role'], 'member');
    await refused([400, 413, 431, 500, 502, 503], 'GET', MODELS, { ...member(), 'X-Huge': 'x'.repeat(100_000) });
  });

  test(named('a target with a host in it is judged by what the origin gets'), async () => {
    await refused([400, 404], 'GET', 'http://api.example/v1/projects/beta/models', member());
    await refused([400, 401], 'GET', `http://api.example${MODELS}`, {});
    const count = origin.asked.length;
    const answer = await ask('GET', `http://beta.example/v1/hosted`, member(), { host: 'alpha.example' });
    if (answer.status === 200) assert.equal(origin.asked.at(-1).headers.host, 'alpha.example');
    else assert.equal(origin.asked.length, count);
    for (const [method, target] of [['OPTIONS', '*'], ['CONNECT', 'api.example:80'], ['TRACE', MODELS], ['get', MODELS]]) {
      // Some answer a 200 of their own to `OPTIONS *`.
      await refused([200, 400, 401, 403, 404, 405, 421, 501], method, target, member());
    }
  });

  test(named('bodies, 100-continue and early hints change nothing'), async () => {
    const length = { 'Content-Length': '5' };
    const sent = await letIn('POST', '/v1/echo', { ...member(), ...length }, { body: 'hello' });
    assert.equal(sent.body, 'hello');
    const waited = await letIn('POST', '/v1/echo', { ...member(), ...length, Expect: '100-continue' }, { body: 'hello' });
    assert.equal(waited.body, 'hello');
    const chunked = await letIn('POST', '/v1/echo', { ...member(), 'Transfer-Encoding': 'chunked' }, { body: '5\r\nhello\r\n0\r\n\r\n' });
    assert.equal(chunked.body, 'hello');
    await refused(401, 'POST', '/v1/echo', { ...length, Expect: '100-continue' }, { body: 'hello' });
    // With both lengths, or two, no second request comes out of the body.
    const inner = `GET /v1/manage HTTP/1.1\r\nHost: x\r\n\r\n`;
    const count = origin.asked.length;
    await ask('POST', '/v1/echo', { ...member(), 'Content-Length': `${5 + inner.length}`, 'Transfer-Encoding': 'chunked' }, { body: `0\r\n\r\n${inner}` });
    await ask('POST', '/v1/echo', { ...member(), 'Content-Length': ['0', `${inner.length}`] }, { body: inner });
    await ask('POST', '/v1/echo', { ...member(), 'Transfer-Encoding': 'chunked, identity' }, { body: `0\r\n\r\n${inner}` });
    assert.ok(!origin.asked.slice(count).some(({ url }) => url === '/v1/manage'), JSON.stringify(origin.asked.slice(count)));
    // Whatever becomes of these hints, the next answer is its own.
    await ask('GET', '/v1/named/hints', member());
    await letIn('GET', '/v1/named/after', member());
  });

  if (clientAddress) {
    test(named("a client's own word of its address does not count"), async () => {
      const lies = { 'X-Original-Client': '10.1.0.1', 'X-Forwarded-For': '10.1.0.1', 'X-Real-IP': '10.1.0.1', Forwarded: 'for=10.1.0.1' };
      await refused(403, 'GET', '/v1/cached', { ...upper(bearer('in_network')), ...lies });
    });
  }

  test(named('a revocation is refused within seconds'), async () => {
    const admin = upper(bearer('alpha_admin'));
    await letIn('GET', MODELS, admin);
    const began = performance.now();
    gate.pulse.options = { inline: [{ generation: 12, tag: fixture.keys.alpha_admin.tag }] };
    await until(async () => ((await ask('GET', MODELS, admin)).status === 401 ? true : undefined));
    assert.ok(performance.now() - began < 5000, 'within the bound');
    await letIn('GET', MODELS, member());
  });

  test(named('nobody is let in while the gate is down'), async () => {
    await gate.gate.stop();
    for (const headers of [member(), {}]) await refused(down, 'GET', MODELS, headers);
    await refused(down, 'GET', '/v1/public', {});
  });
}
