// For Node, Deno and Bun: the module lies beside this file.

import { readFileSync } from 'node:fs';
import { initSync } from './latchkey.js';

initSync({ module: readFileSync(new URL('./latchkey_bg.wasm', import.meta.url)) });

export * from './all.js';
