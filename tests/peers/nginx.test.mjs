// nginx with the configuration that is given to its users, in front of an origin, asking either gate.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bearer } from '../worker/support.mjs';
import { example, exchange, startGate, startOrigin, startProxy } from './support.mjs';
import { suite } from './suite.mjs';

function start({ gate, origin, replacements = {} }) {
  return startProxy('nginx', ({ port, scratch }) => {
    const text = example('nginx/latchkey.conf', {
      '127.0.0.1:8780': gate.address,
      '127.0.0.1:9000': origin.address,
      '127.0.0.1:8080': `127.0.0.1:${port}`,
      ...replacements,
    });
    writeFileSync(join(scratch, 'latchkey.conf'), text);
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${scratch}/${name};`);
    writeFileSync(
      join(scratch, 'nginx.conf'),
      `daemon off; master_process off; pid ${scratch}/pid; error_log stderr;
       events {} http { access_log off; ${paths.join(' ')} include ${scratch}/latchkey.conf; }`,
    );
    return { program: process.env.LATCHKEY_NGINX, args: ['-p', scratch, '-c', join(scratch, 'nginx.conf')] };
  });
}

suite('nginx and the native gate', { start, kind: 'native', gateOptions: { flags: ['--forward-client', 'x-original-client'] }, down: 503 });
suite('nginx and the Worker', { start, kind: 'worker', down: 503 });

test('with the tidied path in place of the one that was sent, the table above would find a way in', async () => {
  const origin = await startOrigin();
  const gate = await startGate('native');
  const proxy = await start({ gate, origin, replacements: { 'X-Original-URI $request_uri': 'X-Original-URI $tidied', 'location / {': 'location / { set $tidied $uri;' } });
  try {
    const target = '/v1/manage/..%2fnamed/a';
    const answer = await exchange(proxy.address, 'GET', target, { Authorization: bearer('alpha_member').authorization });
    assert.deepEqual([answer.status, origin.asked.at(-1)?.url], [200, target]);
  } finally {
    await proxy.stop();
    await gate.stop();
    await origin.stop();
  }
});
