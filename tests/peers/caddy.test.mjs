// Caddy's forward_auth with the configuration that is given to its users.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { example, startProxy } from './support.mjs';
import { suite } from './suite.mjs';

const start = ({ gate, origin }) =>
  startProxy('caddy', ({ port, scratch }) => {
    const text = example('caddy/Caddyfile', { ':8080': `:${port}`, '127.0.0.1:8780': gate.address, '127.0.0.1:9000': origin.address });
    writeFileSync(join(scratch, 'Caddyfile'), text);
    const env = { ...process.env, HOME: scratch, XDG_CONFIG_HOME: scratch, XDG_DATA_HOME: scratch };
    const args = ['run', '--config', join(scratch, 'Caddyfile')];
    return { program: join(process.env.LATCHKEY_PROXIES, 'bin/caddy'), args, options: { env } };
  });

// Go's reader of requests takes `#` for a part of the path, and writes it so from then on.
const differs = { tidied: { '/v1/named/a#b': '/v1/named/a%23b' }, unfolds: true, down: 502 };

suite('Caddy and the native gate', {
  start,
  ...differs,
  kind: 'native',
  gateOptions: { flags: ['--forward-headers', 'x-forwarded', '--forward-client', 'x-original-client'] },
});
suite('Caddy and the Worker', { start, kind: 'worker', gateOptions: { variables: { LATCHKEY_FORWARD_HEADERS: 'x-forwarded' } }, ...differs });
