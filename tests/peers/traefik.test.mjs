// Traefik's forwardAuth with the configuration that is given to its users.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../worker/support.mjs';
import { example, exchange, startProxy } from './support.mjs';
import { suite } from './suite.mjs';

async function start({ gate, origin }) {
  const proxy = await startProxy('traefik', ({ port, scratch }) => {
    const dynamic = example('traefik/dynamic.yaml', { '127.0.0.1:8780': gate.address, '127.0.0.1:9000': origin.address });
    writeFileSync(join(scratch, 'dynamic.yaml'), dynamic);
    const text = example('traefik/traefik.yaml', { ':8080': `:${port}`, 'dynamic.yaml }': `${join(scratch, 'dynamic.yaml')} }` });
    writeFileSync(join(scratch, 'traefik.yaml'), text);
    const args = ['--configFile', join(scratch, 'traefik.yaml')];
    return { program: join(process.env.LATCHKEY_PROXIES, 'bin/traefik'), args, options: { cwd: scratch } };
  });
  // It listens before it has read the file with the routes, and answers 404 until then.
  await until(async () => ((await exchange(proxy.address, 'GET', '/')).status === 401 ? true : undefined)).catch(async (error) => {
    await proxy.stop();
    throw new Error(`${error.message}: ${proxy.said()}`);
  });
  return proxy;
}

suite('Traefik and the native gate', {
  start,
  kind: 'native',
  gateOptions: { flags: ['--forward-headers', 'x-forwarded'] },
  // Traefik decodes what needs no escape.
  tidied: { '/v1/named/%61': '/v1/named/a' },
  unfolds: true,
  clientAddress: false,
  down: 500,
});
