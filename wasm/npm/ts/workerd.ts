// For Workers: wrangler hands the module over, compiled.

import module from './latchkey_bg.wasm';
import { initSync } from './latchkey.js';

initSync({ module });

export * from './all.js';
