// Envoy's ext_authz with the configurations that are given to its users, by gRPC and by HTTP.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { example, startProxy } from './support.mjs';
import { suite } from './suite.mjs';

/** Starts Envoy with an example that asks the gate at this address. */
const started = (path, ask) => ({ gate, origin }) =>
  startProxy('envoy', ({ port, scratch }) => {
    const of = (address) => `port_value: ${address.split(':')[1]}`;
    const text = example(path, { 'port_value: 8080': `port_value: ${port}`, 'port_value: 9000': of(origin.address), [ask.port]: of(ask.of(gate)) });
    writeFileSync(join(scratch, 'envoy.yaml'), text);
    const program = join(process.env.LATCHKEY_PROXIES, 'envoy/_bin/envoy');
    return { program, args: ['-c', join(scratch, 'envoy.yaml'), '--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn'] };
  });

suite('Envoy and the native gate by gRPC', {
  start: started('envoy/grpc.yaml', { port: 'port_value: 8781', of: (gate) => gate.addresses[1] }),
  kind: 'native',
  gateOptions: { flags: ['--ext-authz', '127.0.0.1:0', '--forward-client', 'peer'] },
  down: 503,
});
suite('Envoy and the native gate by HTTP', {
  start: started('envoy/http.yaml', { port: 'port_value: 8780', of: (gate) => gate.address }),
  kind: 'native',
  gateOptions: { flags: ['--forward-headers', 'envoy'] },
  down: 503,
  // Envoy takes a 5xx for a gate that failed.
  bare: [503],
  clientAddress: false,
});
