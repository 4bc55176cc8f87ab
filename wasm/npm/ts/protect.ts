// A gate around a fetch handler: of Workers, Deno, Bun, or anything else that takes a Request and gives a Response.

import { Gate, type Arrival } from './gate.js';
import { ownOptions, said, type Need } from './need.js';
import { Refused, type Caller } from './verdict.js';

/** What is known beside the request. `Rest` is what the host hands over behind it. */
export interface ProtectOptions<Rest extends unknown[]> {
  /** What a request needs; without it the route rules say so. */
  need?: Need | ((request: Request, ...rest: Rest) => Need);
  /** The client's address, as the server knows it. */
  client?: (request: Request, ...rest: Rest) => string | undefined;
}

/**
 * A handler that only sees what was let in: the request as it was judged, who calls (`null` where nobody was asked for), and
 * whatever the host hands over. Where secrets come with a request, as in a Worker, `gate` is made of the first one's.
 */
export function protect<Rest extends unknown[]>(
  gate: Gate | ((...rest: Rest) => Gate),
  handler: (request: Request, caller: Caller | null, ...rest: Rest) => Response | Promise<Response>,
  options: ProtectOptions<Rest> = {},
): (request: Request, ...rest: Rest) => Promise<Response> {
  let made: Gate | undefined = gate instanceof Gate ? gate : undefined;
  const { need, client } = ownOptions(options, ['need', 'client']);
  return async (request, ...rest) => {
    let verdict;
    try {
      made ??= (gate as (...rest: Rest) => Gate)(...rest);
      const arrival: Arrival = { client: client?.(request, ...rest), waitUntil: waiter(rest) };
      verdict = await made.check(request, typeof need === 'function' ? said(need(request, ...rest)) : need, arrival);
    } catch (error) {
      // A mistake of the application's: nobody is let in by it.
      console.error('latchkey: a request could not be judged:', error);
      return Refused.outOfReach().response();
    }
    if (!verdict.allowed) return verdict.response();
    return verdict.share(await handler(verdict.request(), verdict.caller, ...rest));
  };
}

/** `waitUntil` of a Worker's context, which comes third. */
function waiter(rest: unknown[]): Arrival['waitUntil'] {
  const context = rest[1] as { waitUntil?(promise: Promise<unknown>): void } | null | undefined;
  if (typeof context !== 'object' || context === null || typeof context.waitUntil !== 'function') return undefined;
  return (promise) => context.waitUntil?.(promise);
}
