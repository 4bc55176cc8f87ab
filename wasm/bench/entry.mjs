// What `cargo xtask bench` measures in workerd. The data set comes in by PUT, a measurement is a POST, its
// answer a JSON object of values.
import { SignJWT, generateKeyPair, jwtVerify } from "jose";
import { Harness, Measurement, Routing, initSync } from "./build/pkg/latchkey_bench_worker.js";
// `cargo xtask bench` puts it beside the bundle.
import module from "./gate.wasm";

const { memory } = initSync({ module });

/** How many objects an edge fetches behind one answer; wasm/edge/src/refresh.rs says so. */
const OBJECTS_PER_REQUEST = 32;
/** The clock here ticks once a millisecond, so that one sample is many chunks. */
const CHUNKS = 100;
/** Requests in a chunk, as in src/lib.rs. */
const CHUNK = 500;

const data = {};
let objects = new Map();
let harness = null;
let fetches = 0;

export default {
  async fetch(request) {
    const name = new URL(request.url).pathname.slice(1);
    try {
      if (request.method === "PUT") {
        data[name] = new Uint8Array(await request.arrayBuffer());
        if (name === "objects") objects = readObjects(data.objects);
        if (name === "later") for (const [digest, bytes] of readObjects(data.later)) objects.set(digest, bytes);
        return new Response(null, { status: 204 });
      }
      const measure = measurements[name];
      return measure ? Response.json(await measure(await request.json())) : new Response(null, { status: 404 });
    } catch (error) {
      return new Response(`${error.stack ?? error}`, { status: 500 });
    }
  },
};

const measurements = { activate, verdicts, jwt, refreshes, last, routes };

/** From a cold gate and bytes in memory to the first verdict, then to everything loaded. */
function activate() {
  const [head] = readFrames(data.heads);
  const [[key]] = readKeys(1);
  fetches = 0;
  harness?.free();
  let start = performance.now();
  harness = new Harness(data.edge);
  harness.head(head);
  harness.first(key, fetchObject);
  const firstMs = performance.now() - start;
  const firstFetches = fetches;
  const steps = [];
  for (;;) {
    start = performance.now();
    const taken = harness.fill(OBJECTS_PER_REQUEST, fetchObject);
    if (taken === 0) break;
    steps.push(performance.now() - start);
  }
  const fullMs = firstMs + steps.reduce((sum, ms) => sum + ms, 0);
  const [, pages, bytes] = harness.status();
  const cpuMs = Math.max(firstMs, ...steps);
  return { first_ms: firstMs, first_fetches: firstFetches, full_ms: fullMs, cpu_ms: cpuMs, pages, bytes, ...memoryMb() };
}

/** Nanoseconds a verdict, the median of so many rounds; what making requests ready costs is taken off.
 * With few `keys` all that is read is in the cache. */
function verdicts({ rounds, keys }) {
  harness.prepare(new TextDecoder().decode(data.keys).split("\n", keys).join("\n"));
  const names = Object.keys(Measurement).filter((name) => Number.isNaN(Number(name)));
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  let allowed = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) {
      const start = performance.now();
      const letIn = harness.run(Measurement[name], CHUNKS);
      samples[name].push(((performance.now() - start) * 1e6) / (CHUNKS * CHUNK));
      if (name === "Route") allowed += letIn;
    }
  }
  const ready = median(samples.Nothing);
  const medians = names.map((name) => [name.toLowerCase(), median(samples[name]) - ready]);
  return { ...Object.fromEntries(medians), ready, allowed: allowed / (rounds * CHUNKS * CHUNK) };
}

/** Nanoseconds that the rule of a request is found in among so many rules, the median of so many rounds, and what their
 * compilation takes, in milliseconds. */
function routes({ rounds, rules }) {
  const start = performance.now();
  const routing = new Routing(rules);
  const compile_ms = performance.now() - start;
  const times = Math.ceil(50_000 / rules);
  const samples = [];
  for (let round = 0; round < rounds; round += 1) {
    const begun = performance.now();
    const found = routing.find(times);
    samples.push(((performance.now() - begun) * 1e6) / (times * rules));
    if (found !== times * rules) throw new Error(`${found} of ${times * rules} were found`);
  }
  routing.free();
  return { find: median(samples), compile_ms };
}

/** Nanoseconds that `jose` takes to verify an EdDSA JWT with a key that is imported already. */
async function jwt({ rounds }) {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  const token = await new SignJWT({ project: "proj_1", role: "member", scope: "inference.invoke" })
    .setProtectedHeader({ alg: "EdDSA", typ: "JWT" })
    .setIssuer("https://issuer.example")
    .setAudience("origin")
    .setSubject("key_1")
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(privateKey);
  const options = { algorithms: ["EdDSA"], issuer: "https://issuer.example", audience: "origin" };
  const samples = [];
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now();
    for (let at = 0; at < 100; at += 1) await jwtVerify(token, publicKey, options);
    samples.push((performance.now() - start) * 1e4);
  }
  return { jwt: median(samples) };
}

/** Takes in every further head and what it leads to. */
function refreshes() {
  const [, ...heads] = readFrames(data.heads);
  const before = memoryMb().memory_mb;
  let slowest = 0;
  const start = performance.now();
  for (const head of heads) slowest = Math.max(slowest, ...takeIn(head));
  const ms = performance.now() - start;
  const [generation, pages] = harness.status();
  return { generation, pages, before_mb: before, ms, cpu_ms: slowest, ...memoryMb() };
}

/** Moves to another base, then takes in a long delta: the whole, and the slowest step, in milliseconds. */
function last() {
  const [base, ...delta] = readFrames(data.last);
  const move = takeIn(base);
  const long = delta.map(takeIn).flat();
  const sum = (steps) => steps.reduce((all, ms) => all + ms, 0);
  return {
    move_ms: sum(move),
    move_cpu_ms: Math.max(...move),
    delta_ms: sum(long),
    delta_cpu_ms: Math.max(...long),
    pages: harness.status()[1],
    ...memoryMb(),
  };
}

/** Takes in a head, then what it leads to as an edge does, so many objects behind an answer; milliseconds of each step. */
function takeIn(head) {
  const steps = [];
  for (let first = true; ; first = false) {
    const start = performance.now();
    if (first) harness.head(head);
    const taken = harness.fill(OBJECTS_PER_REQUEST, fetchObject);
    steps.push(performance.now() - start);
    if (taken === 0) return steps;
  }
}

function fetchObject(digest) {
  fetches += 1;
  const found = objects.get(digest);
  if (!found) throw new Error("no such object");
  return found;
}

function memoryMb() {
  return { memory_mb: memory.buffer.byteLength / 1e6 };
}

function readFrames(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const frames = [];
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at, true);
    frames.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}

function readObjects(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const found = new Map();
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at + 32, true);
    const digest = Array.from(bytes.subarray(at, at + 32), (byte) => byte.toString(16).padStart(2, "0")).join("");
    found.set(digest, bytes.subarray(at + 36, at + 36 + length));
    at += 36 + length;
  }
  return found;
}

function readKeys(most) {
  const text = new TextDecoder().decode(data.keys.subarray(0, most * 200));
  return text.split("\n", most).map((line) => line.split(" "));
}

function median(values) {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1];
}
