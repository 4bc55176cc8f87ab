// Where a gate reads what is published. Nothing that comes from there is believed here: the gate verifies it.

/** A place of your own to read from. What is not there is `null`; whatever is thrown counts as: it did not answer. */
export interface CustomSource {
  /** The newest head. */
  head(signal: AbortSignal): Promise<Uint8Array | null | undefined>;
  /** The root of a version. */
  root(version: number, signal: AbortSignal): Promise<Uint8Array | null | undefined>;
  /** The object with this digest, 64 hexadecimal characters, of at most so many bytes. */
  object(digest: string, lenMax: number, signal: AbortSignal): Promise<Uint8Array | null | undefined>;
}

/** The control plane itself, by long poll. */
export interface ControlPlaneSource {
  /** `https`, or `http` on this machine. */
  controlPlane: string;
  /** Of `secrets/gate-token`; that of `trust`, if it is left out. */
  token?: string;
}

/** What was published to a static store: `head`, `roots/<n>` and `objects/<digest>` below this URL. */
export interface StoreSource {
  store: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
}

export type Source = ControlPlaneSource | StoreSource | CustomSource;

/** A source as the gate reads it: whatever comes is bytes of at most the length that it may have, or an error. */
export interface Reader {
  /** How long to pause between two heads, in milliseconds. */
  readonly pauseMs: number;
  /** The newest head; where `after` names one that is held, it may wait up to a second for another. */
  head(after: string | null, signal: AbortSignal): Promise<Uint8Array | null>;
  root(version: number, signal: AbortSignal): Promise<Uint8Array | null>;
  object(digest: string, lenMax: number, signal: AbortSignal): Promise<Uint8Array | null>;
}

export const HEAD_LEN_MAX = 4096;
export const ROOT_LEN_MAX = 8192;
const POLL_SECS = 1;

export function reader(source: Source, token: string | undefined): Reader {
  if (Object.hasOwn(source, 'controlPlane')) return controlPlane(source as ControlPlaneSource, token);
  if (Object.hasOwn(source, 'store')) return store(source as StoreSource);
  const custom = source as CustomSource;
  if ([custom.head, custom.root, custom.object].some((method) => typeof method !== 'function')) {
    throw new TypeError('`source` is a control plane, a store, or has `head`, `root` and `object`');
  }
  return {
    pauseMs: 1000,
    head: async (_, signal) => bounded(await custom.head(signal), HEAD_LEN_MAX),
    root: async (version, signal) => bounded(await custom.root(version, signal), ROOT_LEN_MAX),
    object: async (digest, lenMax, signal) => bounded(await custom.object(digest, lenMax, signal), lenMax),
  };
}

function controlPlane(source: ControlPlaneSource, otherwise: string | undefined): Reader {
  const base = baseUrl(source.controlPlane, '`controlPlane`');
  const token = Object.hasOwn(source, 'token') ? source.token : otherwise;
  if (typeof token !== 'string' || token === '') throw new TypeError('the control plane wants a gate token');
  const headers = sendable({ authorization: `Bearer ${token}` });
  const get = (path: string, lenMax: number, signal: AbortSignal) => read(`${base}/v1/gate/${path}`, headers, lenMax, signal);
  return {
    pauseMs: 10,
    head: (after, signal) => {
      const query = after === null ? '' : `&after=${after}`;
      return get(`head?timeout_s=${POLL_SECS}${query}`, HEAD_LEN_MAX, signal);
    },
    root: (version, signal) => get(`roots/${version}`, ROOT_LEN_MAX, signal),
    object: (digest, lenMax, signal) => get(`objects/${digest}`, lenMax, signal),
  };
}

function store(source: StoreSource): Reader {
  const base = baseUrl(source.store, '`store`');
  const headers = sendable(Object.hasOwn(source, 'headers') ? { ...source.headers } : {});
  const get = (path: string, lenMax: number, signal: AbortSignal) => read(`${base}/${path}`, headers, lenMax, signal);
  return {
    pauseMs: 1000,
    head: (_, signal) => get('head', HEAD_LEN_MAX, signal),
    root: (version, signal) => get(`roots/${version}`, ROOT_LEN_MAX, signal),
    object: (digest, lenMax, signal) => get(`objects/${digest}`, lenMax, signal),
  };
}

/** Looks at headers once, since what says that one cannot be sent names its value, which is a secret. */
export function sendable(headers: Record<string, string>, what = '`source`'): Record<string, string> {
  try {
    new Headers(headers);
  } catch {
    throw new TypeError(`a header or the token of ${what} cannot be sent: it has what no header may have`);
  }
  return headers;
}

/** Plain `http` beyond this machine would show the token, and who reads what. */
export function baseUrl(text: string, what: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`${what} is no URL`);
  }
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isHere)) {
    throw new TypeError(`${what} is an \`https\` URL, or \`http\` on this machine`);
  }
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') {
    throw new TypeError(`${what} has neither user, query nor fragment`);
  }
  return url.href.replace(/\/+$/, '');
}

async function read(url: string, headers: Record<string, string>, lenMax: number, signal: AbortSignal): Promise<Uint8Array | null> {
  // A redirect would carry the token elsewhere.
  const response = await fetch(url, { headers, signal, redirect: 'manual' });
  if (response.status === 204 || response.status === 404) {
    await response.body?.cancel();
    return null;
  }
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Error(`it answered ${response.status}`);
  }
  return collect(response.body, lenMax);
}

/** The body, if it is no longer than so; a longer one is not read to its end. */
async function collect(body: ReadableStream<Uint8Array>, lenMax: number): Promise<Uint8Array> {
  const stream = body.getReader();
  const chunks: Uint8Array[] = [];
  let len = 0;
  for (;;) {
    const { done, value } = await stream.read();
    if (done) break;
    len += value.byteLength;
    if (len > lenMax) {
      stream.cancel().catch(() => {});
      throw new Error('its answer is too long');
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(len);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

export function bounded(bytes: unknown, lenMax: number): Uint8Array | null {
  if (bytes === null || bytes === undefined) return null;
  if (!(bytes instanceof Uint8Array)) throw new Error('the source gave no bytes');
  if (bytes.byteLength > lenMax) throw new Error('the source gave too many bytes');
  return bytes;
}
