// The gate: what it does I/O for, and what becomes of a request. Nothing is decided here; `latchkey.js` decides.

import { Case, Core, digest as digestOf } from './latchkey.js';
import { LastGood, type Copy } from './copy.js';
import { hand, type Decision } from './decision.js';
import { encode, type Need } from './need.js';
import { reader, type Reader, type Source } from './source.js';
import { pause, wait, within } from './time.js';
import { trusted, type Trust } from './trust.js';
import { Usage, type UsageAccount, type UsageOptions } from './usage.js';
import { Admitted, Refused, type Answer, type Verdict, type VerdictTold } from './verdict.js';

/** What a gate is told. */
export interface GateOptions {
  /** Where it reads what is published. */
  source: Source;
  /** What `latchkey gate-env` printed, as text or by name: `process.env` and a Worker's `env` will do. */
  trust: string | Partial<Trust>;
  /** The header that tells a client's address, set by whatever stands in front and never by the client. */
  clientHeader?: string;
  /**
   * Whether it follows what is published by itself. Where it does not, as in a Worker, it looks behind the answers.
   * Left out: it does, unless this is a Worker.
   */
  follow?: boolean;
  /**
   * Counts a request of a key that has a rate, by its family; whether it may go on. Left out: it is counted here and exactly, in
   * this process; in a Worker, of which there are many, a key with a rate is then refused.
   */
  rate?: (family: string, perMinute: number) => boolean | Promise<boolean>;
  /** MiB that pages, their index and deltas may take; 48 if nothing is said. */
  memoryMb?: number;
  /** Is told what goes wrong with sources and with usage. Never a secret. */
  warn?: (message: string) => void;
  /** Is told of decisions: the decision log. Nobody waits for it, and what it throws is lost. */
  onDecision?: (record: Decision) => void;
  /**
   * Which decisions it is told of, as `LATCHKEY_DECISIONS` of an edge says it: `0.01,refused=1` is one in a hundred, and every
   * refusal. All of them, if nothing is said.
   */
  decisions?: string;
  /**
   * Where the last good copy is kept, to start with while no source answers: a directory's path, not in a Worker, or a place of your
   * own. What comes from there is verified like what comes from the source.
   */
  copy?: string | Copy;
  /** Who is told what was used. Left out: nobody is, and nothing is counted. */
  usage?: UsageOptions;
}

/** How a request came, as far as it does not say so itself. */
export interface Arrival {
  /** The client's address, as the server knows it. */
  client?: string | undefined;
  /** Keeps what is begun alive behind the answer, as a Worker's `ctx.waitUntil` does. */
  waitUntil?: ((promise: Promise<unknown>) => void) | undefined;
}

/** The gate's account of itself. */
export interface Status {
  health: 'fresh' | 'stale' | 'refusing' | 'cold';
  generation: number | null;
  ageMs: number | null;
  stale: boolean;
  rootVersion: number;
  rules: number;
  pagesHeld: number;
  pagesNamed: number;
  memoryBytes: number;
  headsAccepted: number;
  headsRefused: number;
  objectsRefused: number;
  breakerOpen: boolean;
  /** Answers by what they said. */
  answers: Record<string, number>;
  /** How often requests were judged again that had been let in, by what became of them. */
  rejudged: { allowed: number; refused: number };
  /** `null` if nothing is counted. */
  usage: UsageAccount | null;
}

type Wanted = { digest: string; len: number };
type Step =
  | VerdictTold
  | { step: 'head'; start: boolean }
  | { step: 'objects'; objects: Wanted[] }
  | { step: 'body'; field: string }
  | { step: 'rate'; family: string; perMinute: number };
type StepAgain = Exclude<Step, VerdictTold> | { step: 'again'; allowed: boolean; decision: string | null };
type HeadTold = { head: 'taken'; confirmed: boolean; generation: number | null } | { head: 'older' } | { head: 'root'; version: number } | { head: 'refused'; why: string };
type Flight = { over: Promise<unknown>; begun: number };

const MEMORY_MB_DEFAULT = 48;
/** How long an answer waits for a look at the head. */
const HEAD_BUDGET_MS = 500;
/** How long a look at the head may go on, whoever still waits for it. */
const LOOK_BUDGET_MS = 2000;
const OBJECT_BUDGET_MS = 2000;
/** A Worker's request may have six connections that wait for headers. */
const OBJECTS_AT_ONCE = 4;
const OBJECTS_BEHIND_MAX = 32;
const ROOT_HOPS_MAX = 16;
const JOIN_PAUSE_MS = 50;
const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 1000;
const RATE_BUDGET_MS = 2000;
/** Steps of one request at most; a gate ends it long before. */
const STEPS_MAX = 64;
/** How much of a body is looked at, and how long it may take to arrive. */
const BODY_SEEN_MAX = 64 << 10;
const BODY_BUDGET_MS = 30_000;

const OPTIONS = ['source', 'trust', 'clientHeader', 'follow', 'rate', 'memoryMb', 'warn', 'onDecision', 'decisions', 'copy', 'usage'];

/** What runs this, as each host's entry says it. */
export const host: { isWorker: boolean; directory?: (path: string) => Copy } = { isWorker: false };

const ARRIVAL = ['client', 'waitUntil'];

/** A gate of these options. Whatever is wrong with them is thrown at once. */
export function createGate(options: GateOptions): Gate {
  return new Gate(options);
}

/** A gate inside an application. */
export class Gate {
  readonly #core: Core;
  readonly #reader: Reader;
  readonly #clientHeader: string | undefined;
  readonly #rate: GateOptions['rate'];
  readonly #warn: (message: string) => void;
  readonly #onDecision: GateOptions['onDecision'];
  readonly #usage: Usage | undefined;
  readonly #copy: LastGood | undefined;
  #recalled: Flight | undefined;
  readonly #flights = new Map<string, Flight>();
  #look: Flight | undefined;
  #follows: boolean;
  #broken = false;

  constructor(options: GateOptions) {
    for (const name of Object.keys(options)) {
      if (!OPTIONS.includes(name)) throw new TypeError(`a gate has no option \`${name}\``);
    }
    const own = <K extends keyof GateOptions>(name: K): GateOptions[K] | undefined =>
      Object.hasOwn(options, name) ? options[name] : undefined;
    const [source, trust] = [own('source'), own('trust')];
    if (typeof source !== 'object' || source === null) throw new TypeError('`source` must be there');
    if (trust === undefined || trust === null) throw new TypeError('`trust` must be there');
    const { root, peppers, mint, floor, token, usageToken } = trusted(trust);
    this.#reader = reader(source, token);
    this.#clientHeader = own('clientHeader')?.toLowerCase();
    this.#rate = own('rate');
    this.#warn = quiet(own('warn') ?? ((message) => console.warn(`latchkey: ${message}`)));
    const counts = this.#rate === undefined && !host.isWorker;
    const memoryBytes = (own('memoryMb') ?? MEMORY_MB_DEFAULT) * 2 ** 20;
    const seed = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
    this.#core = new Core(root, peppers, mint, floor, memoryBytes, seed, counts);
    const [onDecision, decisions, usage] = [own('onDecision'), own('decisions'), own('usage')];
    if (onDecision === undefined && decisions !== undefined) throw new TypeError('`decisions` is nothing without `onDecision`');
    if (onDecision !== undefined && typeof onDecision !== 'function') throw new TypeError('`onDecision` is no function');
    if (onDecision !== undefined) this.#core.tell_decisions(decisions ?? '1');
    this.#onDecision = onDecision;
    this.#usage = usage === undefined ? undefined : new Usage(this.#core, usage, usageToken, !host.isWorker, this.#warn);
    const copy = own('copy');
    this.#copy = copy === undefined ? undefined : new LastGood(typeof copy === 'string' ? directoryAt(copy) : copy, this.#warn);
    this.#follows = own('follow') ?? !host.isWorker;
    if (this.#follows) void this.#follow();
  }

  /**
   * Judges a request: by the route rules that the operator signed, or by what the application says that it needs. Never
   * rejects for anything that a client, a source or a network does.
   */
  async check(request: Request, need?: Need, arrival: Arrival = {}): Promise<Verdict> {
    const said = need === undefined ? undefined : encode(need);
    // A Worker's `ctx` has what it has from its prototype: it would be taken for an arrival that says nothing.
    if (Object.keys(arrival).some((name) => !ARRIVAL.includes(name)) || ('waitUntil' in arrival && !Object.hasOwn(arrival, 'waitUntil'))) {
      throw new TypeError('an arrival is `{ client, waitUntil }` and nothing else');
    }
    return this.#judge(request, said, false, arrival);
  }

  /** Who a key is: the answer that `GET /v1/whoami` has at an edge. */
  async whoami(request: Request, arrival: Arrival = {}): Promise<Response> {
    const verdict = await this.#judge(request, undefined, true, arrival);
    if (!verdict.allowed) return verdict.response();
    const { caller, generation } = verdict;
    if (caller === null) return Refused.outOfReach().response();
    const told = {
      key: { id: caller.key },
      project: caller.project,
      organization: caller.organization,
      role: caller.role,
      permissions: caller.permissions,
      expires_at: caller.expiresAt,
      generation,
    };
    const headers = { 'cache-control': 'no-store', 'content-type': 'application/json' };
    return verdict.share(new Response(JSON.stringify(told), { headers }));
  }

  /** The gate's account of itself. */
  status(): Status {
    return { ...JSON.parse(this.#core.status(Date.now())), usage: this.#usage?.account() ?? null };
  }

  /** Whether it broke off in the middle of something, which it should never do: it answers 503 for good. */
  get broken(): boolean {
    return this.#broken;
  }

  /**
   * Follows what is published no more; from then on answers are asked for one by one, as in a Worker. The promise is kept once what
   * was used is handed over and what was read is saved, or 5 s later.
   */
  async close(): Promise<void> {
    this.#follows = false;
    await Promise.all([this.#usage?.close(), this.#copy?.settled()]);
  }

  async #judge(request: Request, need: string | undefined, whoami: boolean, arrival: Arrival): Promise<Verdict> {
    let inquiry: Case;
    try {
      inquiry = this.#case(request, need, whoami, arrival);
    } catch (error) {
      // What is wrong with a need is the application's mistake, and told to it.
      if (!this.#breaks(error)) throw error;
      return Refused.outOfReach();
    }
    try {
      return await this.#decide(request, inquiry, arrival, need);
    } catch (error) {
      // A gate that throws is none to let anybody in by.
      this.#breaks(error);
      this.#warn(`a request could not be judged: ${error}`);
      return Refused.outOfReach();
    } finally {
      this.#free(inquiry);
      this.#refreshBehind(arrival);
    }
  }

  #breaks(error: unknown): boolean {
    const breaks = error instanceof WebAssembly.RuntimeError;
    this.#broken ||= breaks;
    return breaks;
  }

  #free(inquiry: Case): void {
    try {
      inquiry.free();
    } catch {
      // A gate that broke off in the middle still has it, and lets nobody in from then on.
    }
  }

  #case(request: Request, need: string | undefined, whoami: boolean, arrival: Arrival): Case {
    const headers: string[] = [];
    request.headers.forEach((value, name) => headers.push(name, value));
    let client = Object.hasOwn(arrival, 'client') ? arrival.client : undefined;
    if (client === undefined && this.#clientHeader !== undefined) {
      client = request.headers.get(this.#clientHeader) ?? undefined;
    }
    const inquiry = new Case(request.method, request.url, headers, client, need, whoami);
    if (this.#onDecision !== undefined) inquiry.draw(Math.random(), Date.now());
    return inquiry;
  }

  async #decide(request: Request, inquiry: Case, arrival: Arrival, need: string | undefined): Promise<Verdict> {
    const page = inquiry.header('origin');
    const preflight = this.#core.preflight(inquiry, Date.now());
    if (preflight !== undefined) return new Refused(null, JSON.parse(preflight) as Answer, []);
    for (let steps = 0; steps < STEPS_MAX; steps += 1) {
      const step: Step = JSON.parse(this.#core.step(inquiry, Date.now()));
      if (step.step === 'verdict') {
        this.#tell(step.decision);
        return this.#verdict(request, step, page, arrival, need);
      }
      await this.#perform(step, request, inquiry, arrival);
    }
    return Refused.outOfReach();
  }

  #verdict(request: Request, told: VerdictTold, page: string | undefined, arrival: Arrival, need: string | undefined): Verdict {
    const shared = page === undefined ? undefined : this.#core.share(page);
    const share: [string, string][] = shared === undefined ? [] : JSON.parse(shared);
    if (told.allowed !== true) return new Refused(told, told.answer, share);
    let kept = told.used;
    return new Admitted(told, request, {
      share,
      reserved: (names) => JSON.parse(this.#core.reserved(names)),
      used: () => {
        if (kept !== null) this.#usage?.record(kept, (promise) => keep(arrival, promise));
        kept = null;
      },
      again: () => this.#judgeAgain(request, need, told.caller?.model ?? undefined, arrival),
    });
  }

  #tell(line: string | null): void {
    if (line !== null && this.#onDecision !== undefined) hand(line, this.#onDecision);
  }

  /** Whether a request that was let in still would be. Its body has gone on: what was seen of it is all that is known. */
  async #judgeAgain(request: Request, need: string | undefined, model: string | undefined, arrival: Arrival): Promise<boolean> {
    let inquiry: Case | undefined;
    try {
      inquiry = this.#case(request, need, false, arrival);
      inquiry.again(model);
      for (let steps = 0; steps < STEPS_MAX; steps += 1) {
        const step: StepAgain = JSON.parse(this.#core.step_again(inquiry, Date.now()));
        if (step.step === 'again') {
          this.#tell(step.decision);
          return step.allowed === true;
        }
        if (step.step === 'body') inquiry.look(undefined, false, step.field);
        else await this.#perform(step, request, inquiry, arrival);
      }
    } catch (error) {
      this.#breaks(error);
      this.#warn(`a request could not be judged again: ${error}`);
    } finally {
      if (inquiry !== undefined) this.#free(inquiry);
      this.#refreshBehind(arrival);
    }
    return false;
  }

  async #perform(step: Step | StepAgain, request: Request, inquiry: Case, arrival: Arrival): Promise<void> {
    switch (step.step) {
      case 'head':
        return step.start ? this.#askHead(arrival) : this.#joinHead();
      case 'objects':
        for (let at = 0; at < step.objects.length; at += OBJECTS_AT_ONCE) {
          const some = step.objects.slice(at, at + OBJECTS_AT_ONCE).map((wanted) => this.#fetch(wanted));
          for (const flight of some) keep(arrival, flight.then(() => this.#copy?.settled()));
          await Promise.all(some.map((flight) => wait(flight, OBJECT_BUDGET_MS)));
        }
        return;
      case 'body': {
        const seen = await wait(beginning(request), BODY_BUDGET_MS);
        const begun = seen.done ? seen.value : undefined;
        return inquiry.look(begun?.bytes, begun?.isWhole ?? false, step.field);
      }
      case 'rate':
        return this.#core.count(inquiry, await this.#count(step.family, step.perMinute));
      default:
        throw new Error('the gate asked for something that is not known');
    }
  }

  /** 0: it may go on. 1: it may not. 2: it could not be counted. */
  async #count(family: string, perMinute: number): Promise<number> {
    const rate = this.#rate;
    if (rate === undefined) return 2;
    try {
      const may = await within(RATE_BUDGET_MS, async () => rate(family, perMinute));
      return may === true ? 0 : may === false ? 1 : 2;
    } catch (error) {
      this.#warn(`a rate cannot be counted: ${error}`);
      return 2;
    }
  }

  /** Looks at the head and waits for it as long as an answer may. What comes later is for the next answer. */
  async #askHead(arrival: Arrival): Promise<void> {
    const look = this.#lookAtHead(null);
    keep(arrival, look.then(() => this.#copy?.settled()));
    const recall = this.#recall();
    keep(arrival, recall.over);
    // One whose request is gone never ends.
    if (Date.now() - recall.begun < HEAD_BUDGET_MS) await wait(recall.over, HEAD_BUDGET_MS);
    const waited = await wait(look, HEAD_BUDGET_MS);
    this.#core.ask_ended(waited.done && waited.value, Date.now());
  }

  async #joinHead(): Promise<void> {
    const look = this.#look;
    if (look !== undefined && Date.now() - look.begun < LOOK_BUDGET_MS) await wait(look.over, HEAD_BUDGET_MS);
    // Its request is gone; the gate's lease ends by itself.
    else await wait(pause(JOIN_PAUSE_MS), JOIN_PAUSE_MS);
  }

  /** Begins with the last good copy, once, as far as that goes. */
  #recall(): Flight {
    const begin = async () => {
      const head = (await this.#copy?.head()) ?? null;
      if (head !== null) await this.#takeHead(head);
    };
    return (this.#recalled ??= {
      over: begin().catch((error: unknown) => this.#warn(`the last good copy is of no use: ${error}`)),
      begun: Date.now(),
    });
  }

  /** Whether a head came, whatever it said. */
  #lookAtHead(after: string | null): Promise<boolean> {
    const look = (async () => {
      try {
        const head = await within(LOOK_BUDGET_MS, (signal) => this.#reader.head(after, signal));
        if (head === null) return false;
        await this.#takeHead(head);
        return true;
      } catch (error) {
        this.#warn(`no head came: ${error}`);
        return false;
      }
    })();
    const flight = { over: look, begun: Date.now() };
    this.#look = flight;
    void look.then(() => {
      if (this.#look === flight) this.#look = undefined;
    });
    return look;
  }

  /** Hands a head in, with the roots that it needs; whether it was taken. */
  async #takeHead(bytes: Uint8Array): Promise<boolean> {
    for (let hops = 0; hops <= ROOT_HOPS_MAX; hops += 1) {
      const told: HeadTold = JSON.parse(this.#core.accept_head(bytes, Date.now()));
      if (told.head === 'taken') {
        if (told.confirmed) this.#copy?.keepHead(bytes, told.generation);
        if (told.confirmed) this.#copy?.sweep(() => this.#core.serving_objects());
        return true;
      }
      if (told.head === 'refused') this.#warn(`a head was refused: ${told.why}`);
      if (told.head !== 'root') return false;
      if (!(await this.#takeRoot(told.version))) return false;
    }
    return false;
  }

  /** Whether there was a root to hand in. Another request may have done so meanwhile; then the head says so. */
  async #takeRoot(version: number): Promise<boolean> {
    const kept = await this.#copy?.root(version);
    if (kept != null && this.#core.accept_root(kept)) return true;
    const root = await within(LOOK_BUDGET_MS, (signal) => this.#reader.root(version, signal));
    if (root === null) return false;
    if (this.#core.accept_root(root)) this.#copy?.keepRoot(version, root);
    return true;
  }

  /** Begins to fetch an object, unless somebody is at it. Never rejects. */
  #fetch({ digest, len }: Wanted): Promise<unknown> {
    const flying = this.#flights.get(digest);
    if (flying !== undefined && Date.now() - flying.begun < 2 * OBJECT_BUDGET_MS) return flying.over;
    const flight: Flight = { over: Promise.resolve(), begun: Date.now() };
    this.#flights.set(digest, flight);
    flight.over = (async () => {
      try {
        const kept = await this.#copy?.object(digest, len);
        const bytes = kept ?? (await within(OBJECT_BUDGET_MS, (signal) => this.#reader.object(digest, len, signal)));
        if (bytes === null) throw new Error('it is not there');
        const refused = this.#core.accept_object(digest, bytes, Date.now());
        if (refused !== undefined) this.#warn(`an object was refused: ${refused}`);
        else if (kept == null) this.#copy?.keepObject(digest, bytes);
      } catch (error) {
        this.#warn(`an object did not come: ${error}`);
        this.#core.object_failed(digest, Date.now());
      } finally {
        if (this.#flights.get(digest) === flight) this.#flights.delete(digest);
      }
    })();
    return flight.over;
  }

  /** Fetches what is wanted behind the answers, each object once, until a round brings nothing new. */
  async #fetchWanted(): Promise<void> {
    const tried = new Set<string>();
    while (tried.size < OBJECTS_BEHIND_MAX) {
      const wanted: Wanted[] = JSON.parse(this.#core.wanted(tried.size + OBJECTS_AT_ONCE));
      const round = wanted.filter(({ digest }) => !tried.has(digest)).slice(0, OBJECTS_AT_ONCE);
      if (round.length === 0) return;
      for (const { digest } of round) tried.add(digest);
      await Promise.all(round.map((one) => this.#fetch(one)));
      await this.#copy?.settled();
    }
  }

  /** Looks at the head behind an answer, when the gate says that it is time; who follows needs not. */
  #refreshBehind(arrival: Arrival): void {
    try {
      if (this.#follows || !this.#core.refresh_due(Date.now())) return;
    } catch {
      // It broke off in the middle, and the answer says so.
      return;
    }
    const behind = async () => {
      await this.#lookAtHead(null);
      this.#core.refresh_ended(Date.now());
      await this.#fetchWanted();
      await this.#copy?.settled();
    };
    keep(arrival, behind().catch((error: unknown) => this.#warn(`nothing was refreshed: ${error}`)));
  }

  /** Hands in every head, until it is closed. */
  async #follow(): Promise<void> {
    let last: string | null = null;
    let pauseMs = PAUSE_MS_MIN;
    void this.#recall()
      .over.then(() => this.#fetchWanted())
      .catch((error: unknown) => this.#warn(`the last good copy is of no use: ${error}`));
    while (this.#follows) {
      try {
        const head = await within(LOOK_BUDGET_MS + 1000, (signal) => this.#reader.head(last, signal));
        const digest: string | null = head === null ? last : digestOf(head);
        const isNews = head !== null && digest !== last;
        last = digest;
        if (head !== null && isNews && !(await this.#takeHead(head))) throw new Error('it was not taken');
        await this.#fetchWanted();
        // A control plane that answers at once with nothing new is not asked the faster for it.
        pauseMs = isNews ? PAUSE_MS_MIN : Math.min(pauseMs * 2, PAUSE_MS_MAX);
        await pause(isNews ? this.#reader.pauseMs : Math.max(pauseMs, this.#reader.pauseMs));
      } catch (error) {
        if (pauseMs === PAUSE_MS_MIN) this.#warn(`no head arrives: ${error}`);
        await pause(pauseMs);
        pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX);
      }
    }
  }
}

function keep(arrival: Arrival, promise: Promise<unknown>): void {
  try {
    if (Object.hasOwn(arrival, 'waitUntil')) arrival.waitUntil?.(promise);
  } catch {
    // It goes on as long as the host lets it.
  }
}

function directoryAt(path: string): Copy {
  if (host.directory === undefined) throw new TypeError('there are no directories here: `copy` has `load` and `save`');
  return host.directory(path);
}

/** The same, and nothing comes of it if it fails, at once or later. */
function quiet(warn: (message: string) => unknown): (message: string) => void {
  return (message) => {
    try {
      Promise.resolve(warn(message)).catch(() => {});
    } catch {
      // Whoever is to be told is not there.
    }
  };
}

/** What the body begins with; `undefined` if it cannot be looked into. The request's own body stays whole. */
async function beginning(request: Request): Promise<{ bytes: Uint8Array; isWhole: boolean } | undefined> {
  // What is compressed cannot be looked into, nor what somebody has read.
  if (request.headers.has('content-encoding') || request.bodyUsed) return undefined;
  const body = request.clone().body;
  const bytes = new Uint8Array(BODY_SEEN_MAX);
  if (body === null) return { bytes: bytes.subarray(0, 0), isWhole: true };
  const stream = body.getReader();
  let len = 0;
  for (;;) {
    const { done, value } = await stream.read();
    if (done) return { bytes: bytes.slice(0, len), isWhole: true };
    const room = bytes.subarray(len);
    bytes.set(value.subarray(0, room.length), len);
    len += value.byteLength;
    if (len > BODY_SEEN_MAX) {
      // The other copy goes on.
      stream.cancel().catch(() => {});
      return { bytes, isWhole: false };
    }
  }
}
