// The edge with everything that it reads from in between: the data centre's cache, the relay, Workers KV and the hub can
// each be told to be slow, to lose, to replay or to lie, and say how often they were asked and how often they did so. For
// tests/worker alone. What is between the hub and its relays is hub.mjs's.
//
// `PUT /.test/faults` takes {"cache":"hang","hub objects":"status", …}; `GET /.test/counts` tells and forgets; `PUT /.test/planted` plants an entry in
// the cache, as another isolate of the data centre would; `GET /.test/relay` asks a relay many times at once.

import Edge from '../../../wasm/edge/build/index.js';
import { count, fault, misdeed, order, ordered, served, take } from './faults.mjs';

/** The first head that each of them gave, for replays. */
const firsts = {};

// The cache.

const realCaches = caches;
/** What a key is for: `head`, `claim`, `object`, or `claim of an object`. */
const kind = (url) => {
  const [, , what, rest] = new URL(url).pathname.split('/');
  if (what === 'objects') return 'object';
  return what === 'claim' && rest === 'objects' ? 'claim of an object' : what;
};

class Cache {
  constructor(real) {
    this.real = real;
  }

  match(url) {
    count(`cache ${kind(url)}`);
    if (ordered('cache') === 'throw') throw fault('cache');
    return (async () => {
      const answer = (await misdeed('cache')) ?? (await this.real.match(url));
      if (ordered('cache') !== 'replay' || !answer || !url.includes('/head')) return answer;
      count('fault cache');
      // An old head that says it was put this moment.
      firsts.cache ??= new Uint8Array(await answer.arrayBuffer());
      const entry = firsts.cache.slice();
      new DataView(entry.buffer).setBigUint64(0, BigInt(Date.now()), true);
      return served(entry);
    })();
  }

  put(url, response) {
    count(`put ${kind(url)}`);
    if (ordered('cache') === 'throw') throw fault('cache');
    return (async () => (await misdeed('cache')) ?? this.real.put(url, response))();
  }
}
const opened = async (name) => {
  if (ordered('cache') === 'lost') throw fault('cache');
  return new Cache(await realCaches.open(name));
};
Object.defineProperty(globalThis, 'caches', { value: { open: opened } });

async function plant(name, bytes, secs) {
  const cache = await realCaches.open('latchkey');
  await cache.put(name, new Response(bytes, { headers: { 'cache-control': `max-age=${secs}` } }));
}

// The hub and its relays. The name of the class is the one that the edge expects of a binding.

function namespace(real, who) {
  class DurableObjectNamespace {
    getByName(name, options) {
      const stub = real.getByName(name, options);
      return { fetch: (request) => asked(stub, who, request) };
    }
  }
  return new DurableObjectNamespace();
}

async function asked(stub, who, request) {
  const [, what] = new URL(request.url).pathname.split('/');
  count(`${who} ${what}`);
  if (request.method !== 'GET') return stub.fetch(request);
  const answer = (await misdeed(who)) ?? (await misdeed(`${who} ${what}`)) ?? (await stub.fetch(request));
  if (what !== 'head' || !answer.ok) return answer;
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (ordered(who) !== 'replay') return served(bytes);
  count(`fault ${who}`);
  firsts[who] ??= bytes;
  return served(firsts[who]);
}

function store(real) {
  return {
    async get(key, options) {
      count('kv');
      const wrong = await misdeed('kv');
      if (wrong) return wrong instanceof Response ? wrong.arrayBuffer() : wrong;
      return real.get(key, options);
    },
  };
}

/** Asks the script of the hub, whatever object of it. */
const atHub = (env, path, init) => env.HUB.getByName('orders').fetch(`https://hub${path}`, init);

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === '/.test/faults') {
      const orders = await request.text();
      order(JSON.parse(orders));
      for (const who of Object.keys(firsts)) delete firsts[who];
      return atHub(env, '/.test/faults', { method: 'PUT', body: orders });
    }
    if (pathname === '/.test/counts') {
      return Response.json({ ...(await (await atHub(env, '/.test/counts')).json()), ...take() });
    }
    if (pathname === '/.test/planted') {
      const bytes = new Uint8Array(await request.arrayBuffer());
      await plant(request.headers.get('x-key'), bytes, 60);
      return new Response(null, { status: 204 });
    }
    if (pathname === '/.test/relay') {
      const { name, path, times } = Object.fromEntries(new URL(request.url).searchParams);
      const relay = env.RELAY.getByName(name);
      const asked = Array.from({ length: Number(times) }, () => relay.fetch(`https://relay/${path}`));
      return Response.json((await Promise.all(asked)).map(({ status }) => status));
    }
    if (pathname === '/.test/kv') {
      const { keys } = await env.LATCHKEY_KV.list();
      return Response.json(keys.map(({ name }) => name));
    }
    const bindings = {
      ...env,
      HUB: namespace(env.HUB, 'hub'),
      RELAY: namespace(env.RELAY, 'relay'),
      LATCHKEY_KV: store(env.LATCHKEY_KV),
    };
    return new Edge(context, bindings).fetch(request);
  },
};
