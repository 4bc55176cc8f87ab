// What it takes V8 to compile and instantiate a module: `node start.mjs MODULE`. It prints CPU and elapsed milliseconds.
// What the module imports are functions that do nothing: none is called before the first request.
import { readFileSync } from "node:fs";

const standIns = { function: () => undefined, tag: WebAssembly.JSTag };
const bytes = readFileSync(process.argv[2]);
const [cpu, start] = [process.cpuUsage(), performance.now()];
const module = new WebAssembly.Module(bytes);
const imports = {};
for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
  (imports[from] ??= {})[name] = standIns[kind];
}
const { exports } = new WebAssembly.Instance(module, imports);
exports.__wbindgen_start?.();
const used = process.cpuUsage(cpu);
console.log(JSON.stringify({ cpu_ms: (used.user + used.system) / 1000, ms: performance.now() - start }));
