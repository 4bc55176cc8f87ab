// What the tests of the Worker share: the fixture's installation, heads signed here and now, and the real workerd.

import { createPrivateKey, sign } from 'node:crypto';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const fixture = JSON.parse(readFileSync(process.env.LATCHKEY_FIXTURE, 'utf8'));
export const PUSH_TOKEN = 'a push token for the tests only';
export const FORWARD_TOKEN = 'a forward token for the tests only';

/** How long anything that must happen may take. */
const PATIENCE_MS = 10_000;
const START_MAX_MS = 90_000;

/** Tries until `attempt` neither throws nor returns `undefined`, and returns what it did. */
export async function until(attempt, mostMs = PATIENCE_MS) {
  const end = Date.now() + mostMs;
  for (;;) {
    let problem = new Error('it never was so');
    try {
      const found = await attempt();
      if (found !== undefined) return found;
    } catch (error) {
      problem = error;
    }
    if (Date.now() > end) throw problem;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

// Signing.

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

function signature(signer, domain, bytes) {
  const { seed, id } = fixture.signers[signer];
  const der = Buffer.concat([PKCS8_ED25519, Buffer.from(seed, 'hex')]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const message = Buffer.concat([Buffer.from(`latchkey ${domain} v1\0`), bytes]);
  return Buffer.concat([Buffer.from([1]), Buffer.from(id, 'hex'), sign(null, message, key)]);
}

const REASONS = { expired: 1, revoked: 2, disabled: 3, suspended: 4 };

function inlineBytes({ generation, tag, project, organization, reason = 'revoked' }) {
  const bytes = Buffer.alloc(20);
  bytes.writeBigUInt64LE(BigInt(generation), 0);
  bytes[8] = tag ? 1 : project ? 2 : 3;
  bytes[9] = REASONS[reason];
  if (tag) Buffer.from(tag, 'hex').copy(bytes, 10);
  else bytes.writeUInt32LE(project ?? organization, 10);
  return bytes;
}

/** A signed head over an edition's statement, as docs/spec/snapshot-format.md lays it out. */
export function head(edition, options = {}) {
  const { asOf = Date.now(), inline = [], rootVersion = 1, release = 'release', by = 'head' } = options;
  const statement = Buffer.from(fixture.editions[edition].statements[release], 'hex');
  const front = Buffer.alloc(18);
  front.write('LKH1', 0, 'latin1');
  front.writeUInt32LE(rootVersion, 4);
  front.writeBigUInt64LE(BigInt(asOf), 8);
  front.writeUInt16LE(statement.length, 16);
  const signed = Buffer.concat([front, statement, Buffer.from([inline.length]), ...inline.map(inlineBytes)]);
  return Buffer.concat([signed, signature(by, 'head', signed)]);
}

export function objects(edition) {
  return fixture.editions[edition].objects.map(({ digest, hex }) => ({ digest, bytes: Buffer.from(hex, 'hex') }));
}

/** A session's token, signed here and now, as docs/spec/session-token.md lays it out. */
export function sessionToken(name, { issued = Math.floor(Date.now() / 1000), secs = 600, by = 'session' } = {}) {
  const { session, identity } = fixture.people[name];
  const signed = Buffer.alloc(57);
  signed[0] = 1;
  Buffer.from(fixture.signers[by].id, 'hex').copy(signed, 1);
  signed.write(session.slice('sess_'.length), 9, 'latin1');
  signed.write(identity.slice('idn_'.length), 25, 'latin1');
  signed.writeBigUInt64LE(BigInt(issued), 41);
  signed.writeBigUInt64LE(BigInt(issued + secs), 49);
  const message = Buffer.concat([Buffer.from(fixture.installation, 'hex'), signed]);
  // Without the count and the id that a signature block begins with.
  const bytes = Buffer.concat([signed, signature(by, 'session token', message).subarray(9)]);
  return `lkt_${bytes.toString('base64url')}`;
}
export const session = (name, options) => ({ authorization: `Bearer ${sessionToken(name, options)}` });

export const key = (name) => fixture.keys[name].text;
export const bearer = (name) => ({ authorization: `Bearer ${key(name)}` });

// The Worker.

/** A running edge with its hub, in workerd. */
export class Worker {
  static async start({ variables = {}, persist, hub, edge } = {}) {
    const worker = new Worker();
    worker.scratch = mkdtempSync(join(tmpdir(), 'latchkey-worker-test-'));
    worker.log = join(worker.scratch, 'wrangler.log');
    const file = join(worker.scratch, 'variables');
    const all = { ...configuration(), ...variables };
    const lines = Object.entries(all).filter(([, value]) => value !== undefined);
    writeFileSync(file, lines.map(([name, value]) => `${name}=${value}\n`).join(''), { mode: 0o600 });
    const args = ['worker', '--port', '0', '--variables', file, '--log', worker.log];
    if (persist) args.push('--persist', persist);
    if (hub) args.push('--hub', hub);
    if (edge) args.push('--edge', edge);
    worker.child = spawn(process.env.LATCHKEY_XTASK, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    worker.ended = new Promise((resolve) => worker.child.once('exit', resolve));
    worker.url = await worker.#ready();
    return worker;
  }

  #ready() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the Worker did not start')), START_MAX_MS).unref();
      let said = '';
      this.child.stdout.on('data', (data) => {
        said += data;
        const url = /^(http:\S+) \(log: /m.exec(said)?.[1];
        if (url) {
          clearTimeout(timer);
          resolve(url);
        }
      });
      this.ended.then(() => reject(new Error(`the Worker ended: ${said}`)));
    });
  }

  /** Kills it; what the hub acknowledged must be there when it starts again on the same state. */
  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
    rmSync(this.scratch, { recursive: true, force: true });
  }

  logged() {
    return readFileSync(this.log, 'utf8');
  }

  async request(path, { method = 'GET', headers = {}, body, ...rest } = {}) {
    const init = { method, headers, body, redirect: 'manual', ...rest };
    if (body && typeof body.getReader === 'function') init.duplex = 'half';
    const response = await fetch(this.url + path, init);
    const text = await response.text();
    const isJson = (response.headers.get('content-type') ?? '').includes('json');
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  }

  get(path, headers = {}) {
    return this.request(path, { headers });
  }

  whoami(name, headers = {}) {
    return this.get('/v1/whoami', { ...bearer(name), ...headers });
  }

  push(path, body, { token = PUSH_TOKEN, method = 'PUT', headers = {} } = {}) {
    const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
    return this.request(`/.latchkey/push/${path}`, { method, body, headers: { ...authorization, ...headers } });
  }

  async hubStatus() {
    return (await this.push('status', undefined, { method: 'GET' })).json;
  }

  async edgeStatus() {
    return (await this.get('/.latchkey/status', { authorization: `Bearer ${PUSH_TOKEN}` })).json;
  }

  /** Pushes a head and whatever it asks for, as a control plane does; returns the last answer. */
  async publish(edition, options = {}) {
    const all = new Map(objects(edition).map(({ digest, bytes }) => [digest, bytes]));
    for (;;) {
      const answer = await this.push('head', head(edition, options));
      if (answer.json?.code !== 'objects_missing') return answer;
      for (const digest of answer.json.missing) {
        const { status, text } = await this.push(`objects/${digest}`, all.get(digest));
        if (status !== 204) throw new Error(`an object was refused: ${status} ${text}`);
      }
    }
  }

  /** Signs heads over an edition again and again, as a living control plane does. */
  keepFresh(edition, options = {}) {
    const pulse = { edition, options };
    const beat = async () => {
      while (!pulse.stopped) {
        await this.publish(pulse.edition, pulse.options).catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    };
    const beating = beat();
    pulse.stop = async () => {
      pulse.stopped = true;
      await beating;
    };
    return pulse;
  }
}

/** A Worker that answers from the first edition, kept fresh; `stop` ends both. */
export async function serving(options = {}) {
  const worker = await Worker.start(options);
  const pulse = worker.keepFresh('first');
  const stop = async () => {
    await pulse.stop();
    await worker.stop();
  };
  try {
    await until(async () => ((await worker.whoami('alpha_member')).status === 200 ? true : undefined));
  } catch (error) {
    await stop();
    throw error;
  }
  return { worker, pulse, stop };
}

/** What `latchkey edge-env` prints, and a forward-auth token. */
export function configuration() {
  return {
    LATCHKEY_ROOT: Buffer.from(fixture.roots[1], 'hex').toString('base64'),
    LATCHKEY_PEPPER: fixture.pepper,
    LATCHKEY_MINT: fixture.mint,
    LATCHKEY_PUSH_TOKEN: PUSH_TOKEN,
    LATCHKEY_FORWARD_TOKEN: FORWARD_TOKEN,
  };
}

/** An origin that `handle`s requests. */
export async function origin(handle) {
  const server = http.createServer(handle);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  // Upgraded connections are no longer the server's own.
  const sockets = new Set();
  server.on('connection', (socket) => sockets.add(socket));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return { server, url: `http://127.0.0.1:${server.address().port}`, close };
}

/** Sends a request exactly as it is written, which `fetch` would tidy up; ends when the other side does, or once what
 * came matches `until`. */
export function raw(url, target, headers = {}, method = 'GET', { connection = 'close', until, body = '' } = {}) {
  const { hostname, port } = new URL(url);
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`));
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname);
    let said = '';
    const done = () => {
      const [front, ...body] = said.split('\r\n\r\n');
      resolve({ status: Number(front.split(' ')[1]), front, body: body.join('\r\n\r\n') });
      socket.destroy();
    };
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error(`no answer in time: ${said}`)));
    socket.on('data', (data) => {
      said += data.toString('latin1');
      if (until?.test(said)) done();
    });
    socket.on('error', reject);
    socket.on('end', done);
    socket.write(`${method} ${target} HTTP/1.1\r\nhost: ${hostname}:${port}\r\nconnection: ${connection}\r\n${lines.join('')}\r\n${body}`, 'latin1');
  });
}
