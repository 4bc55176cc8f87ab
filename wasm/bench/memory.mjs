// Whether an isolate's memory stays flat through a long run: `node memory.mjs DIR MODULE`, with the data set in DIR. What linear memory has over
// what the gate says that it holds, MB, at its most in each half of the run: it holds more as the store gains keys, which is no leak.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Harness, initSync } from "./build/pkg/latchkey_bench_worker.js";

/** As in entry.mjs. */
const OBJECTS_PER_REQUEST = 32;

const [directory, path] = process.argv.slice(2);
const read = (name) => new Uint8Array(readFileSync(join(directory, name)));
const { memory } = initSync({ module: new WebAssembly.Module(readFileSync(path)) });
const objects = new Map([...readObjects(read("objects")), ...readObjects(read("later"))]);
const fetchObject = (digest) => objects.get(digest);
const heads = readFrames(read("heads"));

const harness = new Harness(read("edge"));
const over = [0, 0];
let held = 0;
heads.forEach((head, at) => {
  harness.head(head);
  while (harness.fill(OBJECTS_PER_REQUEST, fetchObject) > 0);
  held = harness.status()[3];
  const half = at * 2 < heads.length ? 0 : 1;
  over[half] = Math.max(over[half], (memory.buffer.byteLength - held) / 1e6);
});
const [first_mb, second_mb] = over;
console.log(JSON.stringify({ first_mb, second_mb, held_mb: held / 1e6, memory_mb: memory.buffer.byteLength / 1e6 }));

function readFrames(bytes) {
  const view = new DataView(bytes.buffer);
  const frames = [];
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at, true);
    frames.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}

function readObjects(bytes) {
  const view = new DataView(bytes.buffer);
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at + 32, true);
    const digest = Buffer.from(bytes.subarray(at, at + 32)).toString("hex");
    found.push([digest, bytes.subarray(at + 36, at + 36 + length)]);
    at += 36 + length;
  }
  return found;
}
