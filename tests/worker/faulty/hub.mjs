// The hub and its relays with what is between them: a relay's questions (`relay to hub`) and the heads that the hub hands over
// (`feed`) can each be told to fail. For tests/worker alone; the orders come by way of edge.mjs.

import { DurableObject } from 'cloudflare:workers';
import Script, * as script from '../../../wasm/hub/build/index.js';
import { count, misdeed, order, take } from './faults.mjs';

/** A namespace, behind what is ordered. The name of the class is the one that the script expects of a binding. */
function namespace(real, who) {
  class DurableObjectNamespace {
    getByName(name, options) {
      const stub = real.getByName(name, options);
      return {
        async fetch(request) {
          const [, what] = new URL(request.url).pathname.split('/');
          count(`${who} ${what}`);
          return (await misdeed(who)) ?? stub.fetch(request);
        },
      };
    }
  }
  return new DurableObjectNamespace();
}

export class Hub extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.real = new script.Hub(state, { ...env, RELAY: namespace(env.RELAY, 'feed') });
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/.test/faults') {
      order(await request.json());
      return new Response(null, { status: 204 });
    }
    if (pathname === '/.test/counts') return Response.json(take());
    return this.real.fetch(request);
  }

  alarm() {
    return this.real.alarm();
  }
}

export class Relay extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.real = new script.Relay(state, { ...env, HUB: namespace(env.HUB, 'relay to hub') });
  }

  fetch(request) {
    return this.real.fetch(request);
  }
}

export default Script;
