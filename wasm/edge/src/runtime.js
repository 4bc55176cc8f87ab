// What a request has the runtime do, each part in one call: every call between WebAssembly and JavaScript costs a request tenths of
// a microsecond, and each closure made over there a multiple. Nothing is decided here: which headers go on is said by who calls.
// Lists are texts, a line for each item: no method, URL, header's name or value has a line break.

const settled = Promise.resolve();

/** Calls a function once nothing else is done. The runtime's own `queueMicrotask` is slow; a promise does the same. */
export function soon(turn) {
  settled.then(turn);
}

/** Tells once what a promise comes to. The promise alone keeps who is told, so that both go together. */
export function listen(promise, tell) {
  promise.then(
    (value) => tell(true, value),
    (error) => tell(false, error),
  );
}

/** Tells once that so long has passed; what it returns is for `clear`. */
export function after(ms, tell) {
  return setTimeout(tell, ms, true);
}

/** Clears a timer, also one whose request is long gone, which the runtime may mind. */
export function clear(timer) {
  try {
    clearTimeout(timer);
  } catch {}
}

/**
 * What a request says: method, URL, the names of its headers with spaces between them, and of each wanted header its value behind a
 * `=`, or nothing where there is no such header. `null` is wanted of none.
 */
export function read(request, wanted) {
  const { headers } = request;
  let text = `${request.method}\n${request.url}\n${[...headers.keys()].join(" ")}`;
  for (const name of wanted) {
    const value = name === null ? null : headers.get(name);
    text += value === null ? "\n" : `\n=${value}`;
  }
  return text;
}

/**
 * Sends a request on to this URL, with other headers. It comes to what `settle` makes, once, of the origin's answer, of why there is none, or,
 * when there is neither after so many milliseconds, of the promise of it; and of what ends the origin's part.
 */
export function passOn(request, url, changes, ms, settle) {
  const controller = new AbortController();
  let answered;
  try {
    answered = send(request, url, changes, controller.signal);
  } catch (error) {
    return settle(FAILED, error, controller);
  }
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const end = (how, value) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      try {
        resolve(settle(how, value, controller));
      } catch (error) {
        reject(error);
      }
    };
    const timer = setTimeout(() => end(LATE, answered), ms);
    answered.then(
      (response) => end(ANSWERED, response),
      (error) => end(FAILED, error),
    );
  });
}

// As runtime.rs has them.
const ANSWERED = 0;
const FAILED = 1;
const LATE = 2;

function send(request, url, changes, signal) {
  const { method, headers, body } = request;
  const onward = new Request(url, {
    method,
    headers,
    body,
    signal,
    redirect: "manual",
    // What is compressed goes through as it is.
    encodeResponseBody: "manual",
    // No cache may answer: one project's answer would reach another.
    cache: "no-store",
  });
  change(onward.headers, changes);
  return fetch(onward);
}

/**
 * Waits for a promise, by turns. It listens once, however many they are: a socket is open for days, and its promise keeps all who listen.
 * Who has a `Wait` keeps neither the promise nor who waits for a turn: they go with the request.
 */
export class Wait {
  #settled = null;
  #turns;

  constructor(promise) {
    const turns = { end: null };
    this.#turns = new WeakRef(turns);
    const self = new WeakRef(this);
    const settle = (how) => (value) => {
      const wait = self.deref();
      if (wait === undefined) return;
      wait.#settled = { how, value };
      turns.end?.();
    };
    promise.then(settle("resolve"), settle("reject"));
  }

  /** What the promise comes to, or `null` if it takes longer; it goes on then. One turn at a time. */
  within(ms) {
    return new Promise((resolve, reject) => {
      const turns = this.#turns.deref();
      let timer;
      const end = () => {
        clearTimeout(timer);
        if (turns !== undefined) turns.end = null;
        if (this.#settled === null) resolve(null);
        else ({ resolve, reject })[this.#settled.how](this.#settled.value);
      };
      if (this.#settled !== null) return end();
      if (turns !== undefined) turns.end = end;
      timer = setTimeout(end, ms);
    });
  }
}

/** What an origin's response says: whether it is a WebSocket (`1`), the length it declares, and the names of its headers with spaces between them. */
export function look(response) {
  const { headers, webSocket } = response;
  return `${webSocket ? "1" : ""}\n${headers.get("content-length") ?? ""}\n${[...headers.keys()].join(" ")}`;
}

/** The same response with this body, if one is given, and with other headers. Status and the rest are taken over without touching them. */
export function answer(response, body, changes) {
  const answered = new Response(body ?? response.body, response);
  change(answered.headers, changes);
  return answered;
}

/** The same for a response that changed to a WebSocket, of which `webSocket` is the caller's end. */
export function switched(response, webSocket, changes) {
  const headers = new Headers(response.headers);
  change(headers, changes);
  return new Response(null, { status: response.status, webSocket, headers });
}

/** Each line is a header to take away, or its name, a space, and the one value that it is to have. */
function change(headers, changes) {
  if (changes === "") return;
  for (const line of changes.split("\n")) {
    const at = line.indexOf(" ");
    if (at < 0) headers.delete(line);
    else headers.set(line.slice(0, at), line.slice(at + 1));
  }
}
