// For Workers: wrangler hands the module over, compiled.

import module from './latchkey_bg.wasm';
import { host } from './gate.js';
import { initSync } from './latchkey.js';

initSync({ module });
host.isWorker = true;

export * from './all.js';
