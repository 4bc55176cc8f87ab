// What a request has the runtime do, each part in one call: every call between WebAssembly and JavaScript costs a request tenths of
// a microsecond, and each closure made over there a multiple. Nothing is decided here: which headers go on is said by who calls.
// Lists are texts, a line for each item: no method, URL, header's name or value has a line break.

// The executor of futures takes a turn by this function, twice for a request. The runtime's own costs some 8 µs each time, a promise next to
// nothing.
const settled = Promise.resolve();
globalThis.queueMicrotask = (turn) => {
  settled.then(turn);
};

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

/** Sends a request on to this URL, with other headers. */
export function passOn(request, url, changes, signal) {
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

/** Waits for a promise, by turns. It listens once, however many they are: a socket is open for days, and its promise keeps all who listen. */
export class Wait {
  #settled = null;
  #turn = null;

  constructor(promise) {
    const settle = (how) => (value) => {
      this.#settled = { how, value };
      this.#turn?.();
    };
    promise.then(settle("resolve"), settle("reject"));
  }

  /** What the promise comes to, or `null` if it takes longer; it goes on then. One turn at a time. */
  within(ms) {
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        this.#turn = null;
        if (this.#settled === null) resolve(null);
        else ({ resolve, reject })[this.#settled.how](this.#settled.value);
      };
      const timer = setTimeout(end, ms);
      this.#turn = end;
      if (this.#settled !== null) end();
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
