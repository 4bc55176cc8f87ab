// What the edge's script costs a request: its own `fetch`, called in a loop, beside a Worker that only passes requests
// on, both in front of the same origin, which answers at once. `cargo xtask bench` bundles the script as it is built
// for the CDN; only its hub, its origin and its clock are of this file's making.
import Edge from "../edge/build/index.js";

const ORIGIN = "https://origin.example";
const REQUESTS = 500;
/** An edge looks at its head this often, and fetches some of what it misses behind that. */
const REFRESH_MS = 250;
const REFRESHES = 14;

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
  const samples = { edge: [], pass: [], difference: [] };
  let allowed = 0;
  asked = 0;
  for (let round = 0; round < rounds; round += 1) {
    const through = await time(edge, requests(keys));
    const past = await time(pass, requests(keys));
    allowed += through.allowed;
    samples.edge.push(through.us);
    samples.pass.push(past.us);
    samples.difference.push(through.us - past.us);
  }
  const medians = Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, median(values)]));
  return { ...medians, asked, allowed: allowed / (rounds * REQUESTS) };
}

async function time(worker, batch) {
  let allowed = 0;
  const start = performance.now();
  for (const request of batch) {
    const response = await worker.fetch(request);
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
  globalThis.fetch = async () => new Response("{}", { headers: { "content-type": "application/json" } });
  const edge = new Edge(ctx, environment());
  const [key] = new TextDecoder().decode(data.keys.subarray(0, 200)).split(" ", 1);
  for (let refresh = 0; refresh < REFRESHES; refresh += 1) {
    await edge.fetch(requests([key], 1)[0]);
    await scheduler.wait(150);
    clockMs += REFRESH_MS;
  }
  clockMs -= REFRESH_MS;
  return edge;
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
