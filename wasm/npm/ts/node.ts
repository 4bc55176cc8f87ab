// For Node, Deno and Bun: the module lies beside this file.

import { readFileSync } from 'node:fs';
import { directory } from './directory.js';
import { host } from './gate.js';
import { initSync } from './latchkey.js';

initSync({ module: readFileSync(new URL('./latchkey_bg.wasm', import.meta.url)) });
host.directory = directory;

export * from './all.js';
