// The library in each host that it is for: requests as they are written, smuggled ones among them, over real sockets.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ControlPlane, Place, Worker, bearer, fixture, key, raw, store, trust, until } from './support.mjs';

const START_MAX_MS = 30_000;
const HOSTS = {
  'node with hono': [process.execPath],
  deno: ['node_modules/.bin/deno', 'run', '--allow-net=127.0.0.1', '--allow-read', '--allow-write', '--allow-env'],
  bun: ['node_modules/.bin/bun', 'run'],
};
const MODELS = '/v1/projects/alpha/models';

function start([program, ...first], script, ...rest) {
  const child = spawn(program, [...first, `tests/library/hosts/${script}`, ...rest], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (child.said += data));
  return child;
}

async function listening(child) {
  return until(async () => {
    if (child.exitCode !== null) throw new Error(`it ended: ${child.said}`);
    return /^http:\S+/m.exec(child.said)?.[0];
  }, START_MAX_MS);
}

function body({ body: text, front }) {
  const isChunked = /transfer-encoding: chunked/i.test(front);
  const whole = isChunked ? text.replace(/^[0-9a-f]+\r\n|\r\n[0-9a-f]+\r\n/gi, '') : text;
  return JSON.parse(whole.trim());
}

function sameOnEveryHost(url, { cutsFragments = false } = {}) {
  const own = bearer('alpha_member');
  const get = (target, headers = own, method = 'GET') => raw(url(), target, headers, method);

  test('what is let in is told who calls, and what is not is refused', async () => {
    const answer = await get(MODELS);
    assert.equal(answer.status, 200, answer.front);
    assert.equal(body(answer).project, 'alpha');
    assert.match(answer.front, /latchkey-generation: 10/i);
    for (const [target, headers, status, code] of [
      [MODELS, {}, 401, 'unauthenticated'],
      [MODELS, bearer('revoked'), 401, 'revoked'],
      [MODELS, bearer('disabled'), 401, 'disabled'],
      ['/v1/projects/beta/models', own, 404, 'not_found'],
      ['/v1/nowhere', own, 404, 'not_found'],
      ['/v1/query?project=alpha&project=beta', own, 400, 'query_ambiguous'],
    ]) {
      const refused = await get(target, headers);
      assert.deepEqual([refused.status, body(refused).code], [status, code], target);
      assert.match(refused.front, /content-type: application\/problem\+json/i);
    }
    assert.deepEqual(body(await get('/v1/public', {})).project, null);
  });

  test('several Authorization headers are none', async () => {
    const [member, admin] = [own.authorization, bearer('alpha_admin').authorization];
    for (const authorization of [[member, member], [member, admin], [admin, member], `${member}, ${admin}`]) {
      const answer = await get(MODELS, { authorization });
      assert.notEqual(answer.status, 200, JSON.stringify(authorization.length));
      assert.ok([400, 401].includes(answer.status), answer.front);
    }
  });

  test('no spelling of a path reaches another project', async () => {
    for (const target of [
      '/v1/projects/alpha/../beta/models',
      '/v1/projects/alpha/%2e%2e/beta/models',
      '/v1/projects/alpha/.%2e/beta/models',
      '/v1/projects\\beta\\models',
      '/v1/projects/beta%2Fmodels',
      '/v1/projects//beta/models',
      '/v1/projects/beta/models/',
      '/v1/projects/%62eta/models',
      '/v1/projects/beta/models;x',
      '//beta/models',
      'http://evil.example/v1/projects/beta/models',
    ]) {
      const answer = await get(target);
      assert.ok([400, 404].includes(answer.status), `${target}: ${answer.front}`);
    }
  });

  test('a target with a `#` is refused, or judged and seen as what stands before it', async () => {
    for (const target of [
      `${MODELS}#x`,
      `${MODELS}#`,
      `${MODELS}?a=1#x`,
      `${MODELS}?#`,
      `${MODELS}#?a=1`,
      '/v1/public#',
      '/v1/public?a#b',
      '/v1/query?project=alpha#&project=beta',
      '#',
      `#${MODELS}`,
      `http://api.example${MODELS}#x`,
    ]) {
      const answer = await get(target);
      // workerd takes it away before anybody sees it.
      if (answer.status === 200) assert.ok(cutsFragments && !body(answer).url.includes('#'), `${target}: ${answer.front}`);
      else assert.equal(answer.status, 400, `${target}: ${answer.front}`);
    }
    assert.equal((await get(`${MODELS}?a=%23`)).status, 200);
  });

  test('what is judged is what the handler sees', async () => {
    // A host may tidy a target up before anybody sees it; then the tidy one is judged and seen.
    for (const target of [`/v1/x/..${MODELS.slice(3)}`, `${MODELS}?a=1&b=%20`, `${MODELS}?`]) {
      const answer = await get(target);
      if (answer.status !== 200) continue;
      const { pathname } = new URL(body(answer).url);
      assert.equal(pathname, MODELS, target);
    }
  });

  test('nobody speaks in our name, and the credential ends here', async () => {
    const answer = await get(MODELS, {
      ...own,
      'Latchkey-Role': 'admin',
      latchkey_key: 'x',
      'X-HTTP-Method-Override': 'DELETE',
      'x-original-url': '/v1/projects/beta/models',
    });
    const { headers } = body(answer);
    assert.equal(headers['latchkey-role'], 'member');
    assert.equal(headers['latchkey-key'], fixture.keys.alpha_member.id);
    for (const name of ['authorization', 'latchkey_key', 'x-http-method-override', 'x-original-url']) {
      assert.equal(headers[name], undefined, name);
    }
    assert.ok(body(await get('/v1/kept')).headers.authorization, 'its rule keeps it');
  });

  test('an address is believed from the one header that was named, once', async () => {
    const asked = (client) => get('/v1/shared', { ...bearer('in_network'), ...(client ? { 'x-client': client } : {}) });
    assert.equal((await asked()).status, 403);
    assert.equal((await asked(['10.1.2.3', '10.1.2.3'])).status, 403);
    assert.equal((await asked('8.8.8.8')).status, 403);
    assert.equal((await asked('10.1.2.3')).status, 200);
  });

  test('a body is looked into and goes on whole', async () => {
    const model = 'meta/llama-3';
    const send = (text) =>
      fetch(`${url()}/v1/body`, { method: 'POST', headers: bearer('of_model'), body: new Blob([text]).stream(), duplex: 'half' });
    const long = JSON.stringify({ model, filler: 'a'.repeat(1 << 20) });
    const answer = await send(long);
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json().then(({ length, model }) => [length, model]), [long.length, model]);
    for (const text of ['', '{}', JSON.stringify({ model: 'other' }), JSON.stringify({ filler: 'a'.repeat(1 << 20), model })]) {
      const refused = await send(text);
      assert.deepEqual([refused.status, (await refused.json()).code], [403, 'narrowed']);
    }
  });

  test('what was let in and went on is brought to the control plane', async () => {
    const before = control.requests(fixture.keys.beta_member.id);
    // The first try of a batch is for nothing.
    control.answers.push(503);
    for (const status of [200, 200, 404, 200]) {
      const target = status === 200 ? '/v1/projects/beta/models' : MODELS;
      assert.equal((await get(target, bearer('beta_member'))).status, status);
    }
    await until(() => (control.requests(fixture.keys.beta_member.id) >= before + 3 ? true : undefined), 20_000);
    assert.equal(control.requests(fixture.keys.beta_member.id), before + 3);
    assert.equal(control.brought.at(-1).headers.authorization, 'Bearer lku_x');
  });
}

let published;
let place;
let control;
before(async () => {
  place = new Place();
  published = await store(place);
  control = await ControlPlane.start();
});
after(async () => {
  await published?.close();
  await control?.close();
});

for (const [name, host] of Object.entries(HOSTS)) {
  describe(name, () => {
    let child;
    let url;
    let copy;
    before(async () => {
      copy = mkdtempSync(join(tmpdir(), 'latchkey-copy-'));
      child = start(host, 'app.mjs', published.url, JSON.stringify(trust()), control.url, copy);
      url = await listening(child);
    });
    after(async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      rmSync(copy, { recursive: true, force: true });
    });
    sameOnEveryHost(() => url);

    test('no key and no secret is said', () => {
      assert.ok(!child.said.includes(key('alpha_member').slice(15, 42)) && !child.said.includes(fixture.pepper), child.said);
    });

    /** What a process says that has one request judged and ends. */
    async function judgedOnce(store, ...rest) {
      const idle = start(host, 'idle.mjs', store, JSON.stringify(trust()), control.url, bearer('alpha_member').authorization, ...rest);
      const timer = setTimeout(() => idle.kill('SIGKILL'), START_MAX_MS);
      const [code] = await once(idle, 'exit');
      clearTimeout(timer);
      assert.equal(code, 0, idle.said);
      return idle.said.trim();
    }

    test('a gate keeps no process alive', async () => {
      assert.equal(await judgedOnce(published.url), 'in');
    });

    test('a start while the store is down begins with the last good copy', async () => {
      await until(() => (existsSync(join(copy, 'head')) ? true : undefined));
      const nowhere = 'http://127.0.0.1:1';
      assert.equal(await judgedOnce(nowhere), 'no_snapshot');
      assert.equal(await judgedOnce(nowhere, copy), 'in');
    });
  });
}

describe('a worker', () => {
  let worker;
  before(async () => {
    worker = await Worker.start({ variables: { STORE: published.url, CONTROL: control.url }, edge: 'tests/library/hosts/worker.toml' });
  });
  after(() => worker?.stop());
  sameOnEveryHost(() => worker.url, { cutsFragments: true });

  test('a revoked key is refused within the bound, though nothing follows', async () => {
    const asked = () => fetch(worker.url + MODELS, { headers: bearer('alpha_admin') });
    assert.equal((await asked()).status, 200);
    const stream = await fetch(`${worker.url}/v1/named/events`, { headers: bearer('alpha_admin') });
    const events = stream.body.getReader();
    assert.equal(new TextDecoder().decode((await events.read()).value), 'data: on\n\n');
    place.publish('first', { inline: [{ generation: 11, tag: fixture.keys.alpha_admin.tag }] });
    await until(async () => ((await asked()).status === 401 ? true : undefined), 5000);
    // A stream that asks again ends as well.
    await until(async () => ((await events.read()).done ? true : undefined), 5000);
  });

  test('a key with a rate is refused where nobody counts', async () => {
    const answer = await fetch(`${worker.url}/v1/echo`, { method: 'POST', headers: bearer('slow') });
    assert.deepEqual([answer.status, (await answer.json()).code], [503, 'rate_unenforceable']);
  });
});
