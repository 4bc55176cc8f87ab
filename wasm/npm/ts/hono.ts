// A gate as Hono's middleware.

import type { Context, MiddlewareHandler } from 'hono';
import type { Gate } from './gate.js';
import { ownOptions, said, type Need } from './need.js';
import type { Caller } from './verdict.js';

/** What the handlers find: `c.get('latchkey')` is who calls, `null` where nobody was asked for. */
export type LatchkeyVariables = { latchkey: Caller | null };

export interface LatchkeyOptions {
  /** What a request needs; without it the route rules say so. */
  need?: Need | ((c: Context) => Need);
  /** The client's address, as the server knows it: `getConnInfo(c).remote.address`, say. */
  client?: (c: Context) => string | undefined;
}

/**
 * Lets through what the gate lets in. `c.req.raw` is the request as it was judged from then on. Put it before everything that
 * should be behind it, on the outermost application: below `mount` the prefix is gone, and another path would be judged.
 */
export function latchkey(gate: Gate, options: LatchkeyOptions = {}): MiddlewareHandler<{ Variables: LatchkeyVariables }> {
  const { need, client } = ownOptions(options, ['need', 'client']);
  return async (c, next) => {
    const arrival = { client: client?.(c), waitUntil: waiter(c) };
    const verdict = await gate.check(c.req.raw, typeof need === 'function' ? said(need(c)) : need, arrival);
    if (!verdict.allowed) return verdict.response();
    c.req.raw = verdict.request();
    c.set('latchkey', verdict.caller);
    await next();
    const response = c.res;
    // Else Hono puts the headers of the one before into the new one, ours among them.
    c.res = undefined;
    c.res = verdict.share(response);
  };
}

/** `waitUntil` of a Worker's context; elsewhere there is none, and asking for it throws. */
function waiter(c: Context): ((promise: Promise<unknown>) => void) | undefined {
  try {
    const context = c.executionCtx;
    return (promise) => context.waitUntil(promise);
  } catch {
    return undefined;
  }
}
