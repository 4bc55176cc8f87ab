// What the tests of real proxies share: gates to ask, an origin that remembers, processes, and requests as they are written.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configuration, fixture, FORWARD_TOKEN, head, objects, origin, serving, until } from '../worker/support.mjs';

export const EXAMPLES = join(import.meta.dirname, '../../examples');
/** How long a proxy may take to listen, and an answer to come. */
const PATIENCE_MS = 20_000;

/** The directory that a native gate reads, kept as a control plane keeps it. */
class Place {
  constructor(path) {
    this.path = path;
    for (const name of ['roots', 'objects']) mkdirSync(join(path, name), { recursive: true });
    for (const [version, hex] of Object.entries(fixture.roots)) writeFileSync(join(path, 'roots', version), Buffer.from(hex, 'hex'));
  }

  publish(edition, options) {
    if (this.edition !== edition) for (const { digest, bytes } of objects(edition)) writeFileSync(join(this.path, 'objects', digest), bytes);
    this.edition = edition;
    writeFileSync(join(this.path, 'new'), head(edition, options));
    renameSync(join(this.path, 'new'), join(this.path, 'head'));
  }

  keepFresh(edition) {
    const pulse = { edition, options: {} };
    const beat = () => this.publish(pulse.edition, pulse.options);
    beat();
    const timer = setInterval(beat, 200);
    pulse.stop = async () => clearInterval(timer);
    return pulse;
  }
}

/** `latchkey gate` beside a proxy. */
async function native({ flags = [] } = {}) {
  const scratch = mkdtempSync(join(tmpdir(), 'latchkey-peers-gate-'));
  const place = new Place(join(scratch, 'published'));
  const pulse = place.keepFresh('first');
  const ready = join(scratch, 'ready');
  const args = ['gate', '--published', place.path, '--listen', '127.0.0.1:0', '--ready-file', ready, '--log', 'text', ...flags];
  const gate = new Running(process.env.LATCHKEY_BINARY, args, join(scratch, 'log'), { env: { ...process.env, ...configuration() } });
  const urls = await gate.until(() => readFileSync(ready, 'utf8').trim().split('\n'));
  const stop = async () => {
    await pulse.stop();
    await gate.stop();
    rmSync(scratch, { recursive: true, force: true });
  };
  return { address: urls[0].replace('http://', ''), addresses: urls.map((url) => url.replace('http://', '')), pulse, gate, stop };
}

/** The Worker in workerd. */
async function worker({ variables = {} } = {}) {
  const { worker: edge, pulse, stop } = await serving({ variables: { LATCHKEY_FORWARD_CLIENT_HEADER: 'x-original-client', ...variables } });
  return { address: edge.url.replace('http://', ''), pulse, gate: edge, stop };
}

/** A gate of this kind that answers from the first edition. `pulse` is what is published; `gate.stop` ends it alone. */
export async function startGate(kind, options) {
  const gate = await { native, worker }[kind](options);
  try {
    await until(async () => {
      const answer = await exchange(gate.address, 'GET', '/v1/whoami', { Authorization: `Bearer ${fixture.keys.alpha_member.text}` });
      return answer.status === 200 ? true : undefined;
    });
  } catch (error) {
    await gate.stop();
    throw error;
  }
  return gate;
}

/** An origin that remembers what it was asked. */
export async function startOrigin() {
  const asked = [];
  const server = await origin((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('latin1');
      asked.push({ method: request.method, url: request.url, headers: request.headers, lines: request.rawHeaders, body });
      const own = /^\/v1\/named\/status-(\d+)$/.exec(request.url)?.[1];
      // Some proxies take the hints for the answer, and read until the origin is gone.
      if (request.url === '/v1/named/hints') {
        response.shouldKeepAlive = false;
        response.writeEarlyHints({ link: '</style.css>; rel=preload' });
      }
      response.writeHead(Number(own ?? 200), { 'x-origin': 'reached' });
      response.end('reached');
    });
  });
  return { address: server.url.replace('http://', ''), asked, stop: () => server.close() };
}

/** A process that runs until it is stopped; its output is in the log. */
export class Running {
  constructor(program, args, log, options = {}) {
    const output = openSync(log, 'w');
    this.log = log;
    this.child = spawn(program, args, { stdio: ['ignore', output, output], ...options });
    this.ended = new Promise((resolve) => {
      this.child.once('exit', resolve);
      this.child.once('error', resolve);
    }).then(() => {
      this.over = true;
    });
  }

  /** Tries until this is so, as long as the process runs. */
  until(attempt) {
    return until(() => {
      if (this.over) throw new Error(`it ended: ${this.said()}`);
      return attempt();
    }, PATIENCE_MS).catch((error) => {
      throw new Error(`${error.message}: ${this.said()}`);
    });
  }

  said() {
    return readFileSync(this.log, 'utf8').slice(-4000);
  }

  async stop() {
    if (!this.over) this.child.kill('SIGTERM');
    await this.ended;
  }
}

/** A port that is free now. None of the proxies can be asked which one it took, so whoever loses it tries another. */
async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const TRIES_MAX = 3;

/** Starts a proxy with what `command` says for a port: program, arguments and options. */
export async function startProxy(name, command) {
  for (let at = 1; ; at += 1) {
    const scratch = mkdtempSync(join(tmpdir(), `latchkey-peers-${name}-`));
    const port = await freePort();
    const { program, args, options } = command({ port, scratch });
    const running = new Running(program, args, join(scratch, 'log'), options);
    let last;
    const stop = async () => {
      await running.stop();
      last = running.said();
      rmSync(scratch, { recursive: true, force: true });
    };
    try {
      await running.until(() => connects(port));
      return { address: `127.0.0.1:${port}`, stop, said: () => last ?? running.said() };
    } catch (error) {
      await stop();
      if (at === TRIES_MAX) throw error;
    }
  }
}

function connects(port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', reject);
  });
}

/** An example as it is given to users, with the token and each text replaced that must be another here. */
export function example(path, replacements) {
  let text = readFileSync(join(EXAMPLES, path), 'utf8').replaceAll('the-forward-token-of-the-gate', `"${FORWARD_TOKEN}"`);
  // In quotes, which the example may have itself.
  text = text.replaceAll(`""${FORWARD_TOKEN}""`, `"${FORWARD_TOKEN}"`);
  for (const [from, to] of Object.entries(replacements)) {
    if (!text.includes(from)) throw new Error(`examples/${path} has no \`${from}\``);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** Sends a request exactly as it is written. Whoever refuses early may have closed before it has all of it. */
export function exchange(address, method, target, headers = {}, { body = '', host = 'api.example' } = {}) {
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`));
  const [hostname, port] = address.split(':');
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname);
    let said = '';
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer(said));
    };
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no answer in time: ${said}`));
    }, PATIENCE_MS);
    socket.on('data', (data) => (said += data.toString('latin1')));
    socket.on('end', done);
    socket.on('error', done);
    socket.write(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${lines.join('')}\r\n${body}`, 'latin1');
  });
}

function answer(said) {
  let [front, ...rest] = said.split('\r\n\r\n');
  // 100 Continue and 103 Early Hints come before the answer.
  while (/^HTTP\/1\.1 1\d\d /.test(front)) [front, ...rest] = rest;
  const headers = {};
  for (const line of (front ?? '').split('\r\n').slice(1)) {
    const [, name, value] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
    const known = headers[name?.toLowerCase()];
    if (name) headers[name.toLowerCase()] = known === undefined ? value : `${known}, ${value}`;
  }
  const text = unchunked(headers, rest.join('\r\n\r\n'));
  const isJson = headers['content-type']?.includes('json');
  return { status: Number(front?.split(' ')[1] ?? 0), headers, text, json: isJson && text ? JSON.parse(text) : undefined };
}

function unchunked(headers, text) {
  if (headers['transfer-encoding'] !== 'chunked') return text;
  let [whole, rest] = ['', text];
  for (;;) {
    const [size] = /^[0-9a-f]+/i.exec(rest) ?? [];
    if (!size || /^0+$/.test(size)) return whole;
    const from = rest.indexOf('\r\n') + 2;
    whole += rest.slice(from, from + parseInt(size, 16));
    rest = rest.slice(from + parseInt(size, 16) + 2);
  }
}
