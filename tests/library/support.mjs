// What the tests of the npm package share: the fixture's installation as a place to read from.

import { createGate } from '@latchkey/gate';
import http from 'node:http';
import { configuration, head, objects } from '../worker/support.mjs';

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
