// What the edge's script costs a request: its own `fetch`, called in a loop, beside a Worker that only passes requests
// on, both in front of the same origin, which answers at once. `cargo xtask bench` bundles the script as it is built
// for the CDN; only its hub, its origin and its clock are of this file's making.
import Edge from "../edge/build/index.js";

const ORIGIN = "https://origin.example";
const REQUESTS = 500;
/** An edge looks at its head this often, and fetches some of what it misses behind that. */
const REFRESH_MS = 250;
/** After so many, the only head there is would be too old to refresh behind answers. */
const REFRESHES_MAX = 16;
const PUSH_TOKEN = "the push token of a benchmark, which nothing else takes";

const data = {};
let clockMs = 0;
let asked = 0;

export default {
  async fetch(request, _, ctx) {
    const name = new URL(request.url).pathname.slice(1);
    try {
      if (request.method === "PUT") {
        data[name] = new Uint8Array(await request.arrayBuffer());
        return new Response(null, { status: 204 });
      }
      return Response.json(await overhead(ctx, await request.json()));
    } catch (error) {
      return new Response(`${error.stack ?? error}`, { status: 500 });
    }
  },
};

/** Microseconds that the edge adds to a request, the median of so many rounds. */
async function overhead(ctx, { rounds }) {
  const edge = await load(ctx);
  const keys = new TextDecoder().decode(data.keys).split("\n").filter(Boolean).map((line) => line.split(" ")[0]);
  const pass = { fetch: (request) => fetch(request) };
  const samples = { edge: [], pass: [], gateway: [], difference: [], own: [] };
  let allowed = 0;
  asked = 0;
  for (let round = 0; round < rounds; round += 1) {
    const through = await time(edge, requests(keys));
    const past = await time(pass, requests(keys));
    const beside = await time({ fetch: gateway }, requests(keys));
    allowed += through.allowed;
    samples.edge.push(through.us);
    samples.pass.push(past.us);
    samples.gateway.push(beside.us);
    samples.difference.push(through.us - past.us);
    samples.own.push(through.us - beside.us);
  }
  const medians = Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, median(values)]));
  return { ...medians, asked, allowed: allowed / (rounds * REQUESTS) };
}

/** What any gateway in a Worker does that decides nothing: the credential and its own names are taken off the request, and an
 * answer says something that the origin did not. */
async function gateway(request) {
  const headers = new Headers(request.headers);
  for (const name of [...headers.keys()]) if (name.startsWith("latchkey-")) headers.delete(name);
  headers.delete("authorization");
  headers.set("latchkey-project", "prj_0000000000000000");
  headers.set("latchkey-credential", "key_0000000000000000");
  const { pathname, search } = new URL(request.url);
  const { method, body } = request;
  const init = { method, headers, body, redirect: "manual", cache: "no-store", encodeResponseBody: "manual" };
  const response = await fetch(new Request(ORIGIN + pathname + search, init));
  const told = new Headers(response.headers);
  for (const name of [...told.keys()]) if (name.startsWith("latchkey-")) told.delete(name);
  told.set("latchkey-age", "0");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers: told, encodeBody: "manual" });
}

async function time(worker, batch) {
  let allowed = 0;
  const start = performance.now();
  for (const request of batch) {
    const response = await worker.fetch(request);
    await response.text();
    allowed += response.ok ? 1 : 0;
  }
  return { us: ((performance.now() - start) * 1000) / batch.length, allowed };
}

/** The edge with everything loaded, at a moment that no longer passes. */
async function load(ctx) {
  const view = new DataView(data.edge.buffer);
  clockMs = Number(view.getBigUint64(64, true));
  const RealDate = Date;
  globalThis.Date = class Date extends RealDate {
    constructor(...parts) {
      super(...(parts.length === 0 ? [clockMs] : parts));
    }
    static now() {
      return clockMs;
    }
  };
  // A body of a length that is told and short, as most JSON is: the edge hands it on as it is.
  const headers = { "content-type": "application/json", "content-length": "2" };
  globalThis.fetch = async () => new Response("{}", { headers });
  const behind = [];
  ctx.waitUntil = (work) => behind.push(work);
  const edge = new Edge(ctx, environment());
  const [key] = new TextDecoder().decode(data.keys.subarray(0, 200)).split(" ", 1);
  let lacking;
  for (let refresh = 0; refresh < REFRESHES_MAX; refresh += 1) {
    await (await edge.fetch(requests([key], 1)[0])).text();
    while (behind.length > 0) await behind.pop();
    lacking = await missing(edge);
    if (lacking === undefined) return edge;
    clockMs += REFRESH_MS;
  }
  throw new Error(`the edge never held everything: ${lacking}`);
}

/** What the edge says that it does not hold; nothing if it holds all. */
async function missing(edge) {
  const headers = { authorization: `Bearer ${PUSH_TOKEN}` };
  const response = await edge.fetch(new Request("https://api.example/.latchkey/status", { headers }));
  const text = await response.text();
  const { nodes, pages } = JSON.parse(text).details;
  const held = nodes.named > 0 && nodes.held === nodes.named && pages.named > 0 && pages.held === pages.named;
  return held ? undefined : text;
}

function environment() {
  const objects = readObjects(data.objects);
  // Behind its length and the moment at which it comes.
  const head = data.heads.subarray(12, 4 + new DataView(data.heads.buffer).getUint32(0, true));
  const hub = {
    async fetch(request) {
      asked += 1;
      const [kind, name] = new URL(request.url).pathname.slice(1).split("/");
      const found = kind === "head" ? head : objects.get(name);
      // The edge reads no body whose length it is not told.
      const headers = { "content-length": String(found?.byteLength ?? 0) };
      return new Response(found ?? null, { status: found ? 200 : 404, headers });
    },
  };
  class DurableObjectNamespace {
    getByName() {
      return hub;
    }
  }
  return {
    LATCHKEY_PEPPER: hex(data.edge.subarray(0, 32)),
    LATCHKEY_MINT: hex(data.edge.subarray(32, 64)),
    LATCHKEY_ROOT: btoa(String.fromCharCode(...data.edge.subarray(72))),
    LATCHKEY_PUSH_TOKEN: PUSH_TOKEN,
    ORIGIN,
    HUB: new DurableObjectNamespace(),
  };
}

function requests(keys, count = REQUESTS) {
  return Array.from({ length: count }, () => {
    const key = keys[Math.floor(Math.random() * keys.length)];
    return new Request("https://api.example/v1/chat/completions", {
      method: "POST",
      headers: {
        accept: "application/json",
        "accept-encoding": "gzip",
        authorization: `Bearer ${key}`,
        "cf-connecting-ip": "192.0.2.1",
        "content-type": "application/json",
        "user-agent": "bench/1.0",
        "x-forwarded-proto": "https",
        "x-request-id": "018f3a5e-0000-7000-8000-000000000000",
      },
    });
  });
}

function readObjects(bytes) {
  const view = new DataView(bytes.buffer);
  const found = new Map();
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at + 32, true);
    found.set(hex(bytes.subarray(at, at + 32)), bytes.subarray(at + 36, at + 36 + length));
    at += 36 + length;
  }
  return found;
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function median(values) {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1];
}
