// The same application as a Worker.

import { protect } from '@latchkey/gate';
import { made, seen } from './handler.mjs';

let gate;
export default { fetch: protect((env) => (gate ??= made(env.STORE, env, env.CONTROL)), seen) };
