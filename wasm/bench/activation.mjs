// What activation costs apart from V8's work on the code: `node [V8 FLAGS] activation.mjs DIR MODULE`, in a process of its own. It does what
// entry.mjs does to activate a gate, with the data set in DIR, and prints milliseconds.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Harness, initSync } from "./build/pkg/latchkey_bench_worker.js";

/** As in entry.mjs. */
const OBJECTS_PER_REQUEST = 32;

const [directory, path] = process.argv.slice(2);
const read = (name) => new Uint8Array(readFileSync(join(directory, name)));
const module = new WebAssembly.Module(readFileSync(path));
initSync({ module });
const edge = read("edge");
const heads = read("heads");
const head = heads.subarray(4, 4 + new DataView(heads.buffer).getUint32(0, true));
const objects = readObjects(read("objects"));
const [key] = new TextDecoder().decode(read("keys").subarray(0, 200)).split(" ", 1);
const fetchObject = (digest) => objects.get(digest);

const start = performance.now();
const harness = new Harness(edge);
harness.head(head);
harness.first(key, fetchObject);
const first = performance.now();
let slowest = first - start;
for (let taken = 1; taken > 0; ) {
  const begun = performance.now();
  taken = harness.fill(OBJECTS_PER_REQUEST, fetchObject);
  slowest = Math.max(slowest, performance.now() - begun);
}
console.log(JSON.stringify({ first_ms: first - start, full_ms: performance.now() - start, cpu_ms: slowest }));

function readObjects(bytes) {
  const view = new DataView(bytes.buffer);
  const found = new Map();
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at + 32, true);
    found.set(Buffer.from(bytes.subarray(at, at + 32)).toString("hex"), bytes.subarray(at + 36, at + 36 + length));
    at += 36 + length;
  }
  return found;
}
