// What the tests of the npm package share: the fixture's installation as a place to read from.

import { createGate } from '@latchkey/gate';
import http from 'node:http';
import { configuration, head, objects, origin } from '../worker/support.mjs';

export * from '../worker/support.mjs';

/** Where an edition is published, in memory; its head is signed anew whenever it is read. */
export class Place {
  constructor(edition = 'first', options = {}) {
    this.publish(edition, options);
    this.reads = [];
  }

  publish(edition, options = {}) {
    [this.edition, this.options] = [edition, options];
    this.objects = new Map(objects(edition).map(({ digest, bytes }) => [digest, bytes]));
  }

  async head() {
    this.reads.push('head');
    return head(this.edition, this.options);
  }

  async root() {
    this.reads.push('root');
    return null;
  }

  async object(digest) {
    this.reads.push(digest);
    return this.objects.get(digest) ?? null;
  }
}

/** What a gate trusts. */
export function trust() {
  const { LATCHKEY_ROOT, LATCHKEY_PEPPER, LATCHKEY_MINT } = configuration();
  return { LATCHKEY_ROOT, LATCHKEY_PEPPER, LATCHKEY_MINT };
}

/** A gate that looks at a place when it is asked. */
export function gate(source = new Place(), options = {}) {
  return createGate({ source, trust: trust(), follow: false, warn: () => {}, ...options });
}

/** Serves a place as a static store. */
export async function store(place) {
  const server = http.createServer(async (request, response) => {
    const [, kind, name] = request.url.split('/');
    const bytes = kind === 'head' ? await place.head() : kind === 'objects' ? await place.object(name) : null;
    response.writeHead(bytes === null ? 404 : 200);
    response.end(bytes ?? undefined);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

/** A control plane that is brought usage; `answers` are the statuses of the next batches, 200 beyond them. */
export class ControlPlane {
  answers = [];
  brought = [];
  #server;

  static async start() {
    const control = new ControlPlane();
    control.#server = await origin((request, response) => {
      let text = '';
      request.on('data', (data) => (text += data));
      request.on('end', () => {
        const status = control.answers.shift() ?? 200;
        const { method, url, headers } = request;
        control.brought.push({ method, url, headers, status, batch: JSON.parse(text) });
        response.writeHead(status).end('{}');
      });
    });
    return control;
  }

  get url() {
    return this.#server.url;
  }

  close() {
    return this.#server.close();
  }

  /** Requests that were counted of a key: a batch counts once. */
  requests(key) {
    const taken = new Map(this.brought.filter(({ status }) => status === 200).map(({ batch }) => [batch.id, batch.lines]));
    const lines = [...taken.values()].flat().filter(({ subject }) => subject.key === key);
    return lines.reduce((sum, { requests }) => sum + requests, 0);
  }
}
