// The edge with everything that it reads from in between: the data centre's cache, the relay, Workers KV and the hub can
// each be told to be slow, to lose, to replay or to lie, and say how often they were asked. For tests/worker alone.
//
// `PUT /.test/faults` takes {"cache":"hang", …}; `GET /.test/counts` tells and forgets; `PUT /.test/head` plants an entry in
// the cache, as another isolate of the data centre would.

import Edge from '../../../wasm/edge/build/index.js';

let faults = {};
let counts = {};
/** The first head that each of them gave, for replays. */
const firsts = {};

const count = (what) => (counts[what] = (counts[what] ?? 0) + 1);
const forever = () => new Promise(() => {});
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const noise = () => crypto.getRandomValues(new Uint8Array(300));
const served = (bytes) => new Response(bytes, { headers: { 'content-length': `${bytes.length}` } });

/** Does what is ordered of `who`; `undefined`: nothing is. */
async function misdeed(who) {
  const fault = faults[who];
  if (fault === 'hang') await forever();
  if (fault === 'reject') throw new Error(`${who} is out of order`);
  if (fault === 'status') return new Response('out of order', { status: 500 });
  if (fault === 'garbage') return served(noise());
  if (fault === 'nonsense') return { status: 200, ok: true };
  if (Number.isInteger(fault)) await sleep(fault);
  return undefined;
}

// The cache.

const realCaches = caches;
class Cache {
  constructor(real) {
    this.real = real;
  }

  match(url) {
    count('cache');
    if (faults.cache === 'throw') throw new Error('the cache is out of order');
    return (async () => {
      const answer = (await misdeed('cache')) ?? (await this.real.match(url));
      if (faults.cache !== 'replay' || !answer || !url.includes('/head')) return answer;
      // An old head that says it was put this moment.
      firsts.cache ??= new Uint8Array(await answer.arrayBuffer());
      const entry = firsts.cache.slice();
      new DataView(entry.buffer).setBigUint64(0, BigInt(Date.now()), true);
      return served(entry);
    })();
  }

  put(url, response) {
    count('put');
    if (faults.cache === 'throw') throw new Error('the cache is out of order');
    return (async () => (await misdeed('cache')) ?? this.real.put(url, response))();
  }
}
const opened = async (name) => {
  if (faults.cache === 'lost') throw new Error('there is no cache');
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
  const answer = (await misdeed(who)) ?? (await stub.fetch(request));
  if (what !== 'head' || !answer.ok) return answer;
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (faults[who] !== 'replay') return served(bytes);
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

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === '/.test/faults') {
      faults = await request.json();
      for (const who of Object.keys(firsts)) delete firsts[who];
      return new Response(null, { status: 204 });
    }
    if (pathname === '/.test/counts') {
      const told = counts;
      counts = {};
      return Response.json(told);
    }
    if (pathname === '/.test/head') {
      const bytes = new Uint8Array(await request.arrayBuffer());
      await plant(request.headers.get('x-key'), bytes, 60);
      return new Response(null, { status: 204 });
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
