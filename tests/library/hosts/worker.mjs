// The same application as a Worker.

import { protect } from '@latchkey/gate';
import { made, seen } from './handler.mjs';

// A copy that is of no use beyond its isolate; what matters is that it keeps no request.
const kept = new Map();
const copy = { load: async (name) => kept.get(name), save: async (name, bytes) => void kept.set(name, bytes) };
let gate;
export default { fetch: protect((env) => (gate ??= made(env.STORE, env, env.CONTROL, copy)), seen) };
