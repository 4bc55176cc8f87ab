// A hub that believes whatever is pushed and serves it, and that can be told to misbehave: a "head" that begins with
// `{` is an order. No edge is deployed with it.

import { DurableObject } from 'cloudflare:workers';

export class Hub extends DurableObject {
  held = new Map();
  order = {};

  async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path.startsWith('/push/')) return this.take(path.slice('/push'.length), request);
    const { hang, status, huge } = this.order;
    if (hang) await new Promise((resolve) => setTimeout(resolve, hang));
    if (status) return new Response('out of order', { status });
    if (huge) return served(new Uint8Array(huge));
    const bytes = this.held.get(path);
    return bytes ? served(bytes) : new Response('absent', { status: 404 });
  }

  async take(path, request) {
    const bytes = new Uint8Array(await request.arrayBuffer());
    if (path === '/head' && bytes[0] === 0x7b) this.order = JSON.parse(new TextDecoder().decode(bytes));
    else this.held.set(path, bytes);
    return new Response(null, { status: 204 });
  }
}

/** Bound by the edge and never asked: no relay is named here. */
export class Relay extends DurableObject {}

const served = (bytes) => new Response(bytes, { headers: { 'content-length': `${bytes.length}` } });

export default {
  fetch: () => new Response('a hub is reached through its binding', { status: 404 }),
};
