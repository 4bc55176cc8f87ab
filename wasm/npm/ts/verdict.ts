// What became of a request, for the application.

/** Something with an id. */
export interface Named {
  readonly id: string;
  readonly name: string;
}

/** Who was let in. */
export interface Caller {
  /** The public id of a key; `null` for a session. */
  readonly key: string | null;
  /** The identity of a session; `null` for a key. */
  readonly identity: string | null;
  readonly project: Named & { readonly slug: string };
  readonly organization: Named;
  /** `member` or `admin`. */
  readonly role: string | null;
  /** All that the caller may do in the project. */
  readonly permissions: readonly string[];
  /** The permission that was needed. */
  readonly permission: string | null;
  /** From when on the key is refused, if ever. */
  readonly expiresAt: string | null;
  /** The model that the body was seen to name, where that was looked at. */
  readonly model: string | null;
}

export type Verdict = Admitted | Refused;

/** An answer of the gate's own. */
export interface Answer {
  status: number;
  headers: [string, string][];
  body: string | null;
}

/** A verdict as it comes from the gate. */
export interface VerdictTold {
  step: 'verdict';
  allowed: boolean;
  how: 'granted' | 'public' | 'shadow' | 'refused';
  code: string | null;
  cause: string | null;
  caller: Caller | null;
  generation: number | null;
  ageMs: number | null;
  stale: boolean;
  answer: Answer | null;
  remove: string[];
  set: [string, string][];
  host: string | null;
  tell: [string, string][];
  decision: string | null;
  used: string | null;
}

/** What else an admitted request needs of its gate. */
export interface AdmittedBy {
  /** Headers by which the page that asks may read the answer. */
  share: [string, string][];
  /** Those of these names that a handler may not say. */
  reserved(names: string[]): string[];
  /** The request has gone on. */
  used(): void;
  /** Whether it would still be let in. */
  again(): Promise<boolean>;
}

/** Requests as handlers see them, and by what they were let in. */
const judged = new WeakMap<Request, Admitted>();

/**
 * Whether a request that a handler was given, by `protect`, the middleware or `verdict.request()`, would still be let in: see
 * `Admitted.stillAllowed`. Rejects with a `TypeError` for any other request, a copy among them.
 */
export async function stillAllowed(request: Request): Promise<boolean> {
  const verdict = judged.get(request);
  if (verdict === undefined) throw new TypeError('the request is not one that a gate let in');
  return verdict.stillAllowed();
}

/** It may go on. */
export class Admitted {
  readonly allowed = true;
  /** `granted`; or `public` or `shadow`, where nobody was asked for or whatever was found was let pass. */
  readonly how: 'granted' | 'public' | 'shadow';
  /** Who calls; `null` unless it was `granted`. */
  readonly caller: Caller | null;
  /** Of a shadow: how it would be refused. */
  readonly code: string | null;
  /** The newest change that the gate knew; `null` if it needed to know none. */
  readonly generation: number | null;
  /** Milliseconds since the control plane confirmed that this was all. */
  readonly ageMs: number | null;
  /** Whether that is longer than the promise. */
  readonly stale: boolean;
  readonly #told: VerdictTold;
  readonly #request: Request;
  readonly #gate: AdmittedBy;

  constructor(told: VerdictTold, request: Request, gate: AdmittedBy) {
    this.how = told.how === 'refused' ? 'shadow' : told.how;
    this.caller = told.caller === null ? null : frozen(told.caller);
    this.code = told.code;
    this.generation = told.generation;
    this.ageMs = told.ageMs;
    this.stale = told.stale;
    this.#told = told;
    this.#request = request;
    this.#gate = gate;
    Object.freeze(this);
  }

  /** The headers of the request as a handler should see them: without the credential, who calls in `Latchkey-*`. */
  headers(): Headers {
    const headers = new Headers(this.#request.headers);
    for (const name of this.#told.remove) headers.delete(name);
    for (const [name, value] of this.#told.set) headers.set(name, value);
    // What was judged is the host of the URL.
    if (headers.has('host') && this.#told.host !== null) headers.set('host', this.#told.host);
    return headers;
  }

  /** The request as a handler should see it. Its body is the request's own, so it can be asked for once. */
  request(): Request {
    const headers = this.headers();
    const { method, url, signal, bodyUsed } = this.#request;
    const onward = bodyUsed ? new Request(url, { method, headers, signal }) : new Request(this.#request, { headers });
    judged.set(onward, this);
    return onward;
  }

  /**
   * Whether the request would still be let in if it came now: the same credential, for the same. It counts for no rate and as no
   * request. What it waits for is at most a look at the newest head. For what takes long: an answer that streams, a socket.
   * Never rejects: what cannot be told is `false`.
   */
  stillAllowed(): Promise<boolean> {
    return this.#gate.again();
  }

  /**
   * What the client gets for a handler's response: with the verdict's headers, and without what it says in their place. The
   * request counts as used from then on, once.
   */
  share(response: Response): Response {
    this.#gate.used();
    const told = [...this.#told.tell, ...this.#gate.share];
    // Not in place, since a handler may give one response again and again; only an upgrade is no response that one can make.
    const isUpgrade = response.status < 200 || (response as { webSocket?: unknown }).webSocket != null;
    return tell(isUpgrade ? response : new Response(response.body, response), told, (names) => this.#gate.reserved(names));
  }
}

/** It may not go on; or it is a browser's preflight, which has its answer. */
export class Refused {
  readonly allowed = false;
  readonly caller = null;
  readonly status: number;
  /** The code that the client is told; `null` for a preflight. */
  readonly code: string | null;
  /** The code for logs; it may say more than the client may know. */
  readonly cause: string | null;
  readonly #answer: Answer;
  readonly #share: [string, string][];

  constructor(told: VerdictTold | null, answer: Answer | null, share: [string, string][]) {
    this.#answer = answer ?? OUT_OF_REACH;
    this.#share = share;
    this.status = this.#answer.status;
    this.code = told?.code ?? (answer === null ? OUT_OF_REACH_CODE : null);
    this.cause = told?.cause ?? this.code;
    Object.freeze(this);
  }

  /** The gate cannot tell. */
  static outOfReach(): Refused {
    return new Refused(null, null, []);
  }

  /** What the client gets, anew each time. */
  response(): Response {
    const headers = new Headers(this.#answer.headers);
    for (const [name, value] of this.#share) put(headers, name, value);
    return new Response(this.#answer.body, { status: this.#answer.status, headers });
  }
}

function tell(response: Response, told: [string, string][], reserved: (names: string[]) => string[]): Response {
  const { headers } = response;
  for (const name of reserved([...headers.keys()])) headers.delete(name);
  for (const [name, value] of told) put(headers, name, value);
  return response;
}

function put(headers: Headers, name: string, value: string): void {
  if (name === 'vary') {
    const listed = (headers.get(name) ?? '').split(',').map((one) => one.trim().toLowerCase());
    if (!listed.includes(value.toLowerCase())) headers.append(name, value);
  } else headers.set(name, value);
}

function frozen(caller: Caller): Caller {
  Object.freeze(caller.project);
  Object.freeze(caller.organization);
  Object.freeze(caller.permissions);
  return Object.freeze(caller);
}

const OUT_OF_REACH_CODE = 'data_out_of_reach';
/** The one refusal that has to be told without the gate's own words. */
const OUT_OF_REACH: Answer = {
  status: 503,
  headers: [
    ['cache-control', 'no-store'],
    ['content-type', 'application/problem+json'],
    ['retry-after', '1'],
  ],
  body: `{"type":"urn:latchkey:problem:${OUT_OF_REACH_CODE}","title":"a part of the edge's snapshot is out of reach","status":503,"code":"${OUT_OF_REACH_CODE}"}`,
};
