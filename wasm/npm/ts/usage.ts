// What was let in and went on, on its way to the control plane: counted by the gate, handed over in batches.
//
// A batch keeps its id through every attempt, so it counts once. Nothing here is waited for by a request.

import type { Core } from './latchkey.js';
import { ownOptions } from './need.js';
import { baseUrl, sendable } from './source.js';
import { pause, wait, within } from './time.js';

/** Who is told what was used. */
export interface UsageOptions {
  /** `https`, or `http` on this machine. */
  controlPlane: string;
  /** Of `POST /v1/operator/usage-tokens`; `LATCHKEY_USAGE_TOKEN` of `trust`, if it is left out. */
  token?: string;
}

/** What there is to tell of it. */
export interface UsageAccount {
  /** Whether a batch waits for the control plane. */
  waiting: boolean;
  /** Requests that found no room to be counted in. */
  lost: number;
}

type Batch = { id: string; body: string };
type Keep = (promise: Promise<unknown>) => void;
type Sent = 'taken' | 'refused' | 'delayed';

/** How long counts are gathered before they are sent. */
const GATHER_MS = 5000;
/** A timer that has not rung so long after it should have is gone with its request. */
const OVERDUE_MS = 5000;
const ANSWER_BUDGET_MS = 5000;
/** How often one timer tries to hand a batch over. */
const TRIES = 3;
const PAUSE_MS = 2000;
const AGAIN_MS_MAX = 300_000;
/** How long the last batch may take when a gate is closed. */
const SETTLE_MS = 5000;
/** Answers by which a batch will never be taken. */
const REFUSED = [400, 409, 413, 415, 422];

export class Usage {
  readonly #core: Core;
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #warn: (message: string) => void;
  /** Whether this process sends by itself what the last timer could not hand over. */
  readonly #persists: boolean;
  #pending: Batch | undefined;
  /** When the timer rings that was set last; it has not. */
  #armed: number | undefined;
  #sending: { over: Promise<boolean>; begun: number } | undefined;
  /** How long counts are gathered, or a batch waits that was not taken. */
  #againMs = GATHER_MS;

  constructor(core: Core, options: UsageOptions, otherwise: string | undefined, persists: boolean, warn: (message: string) => void) {
    const { controlPlane, token = otherwise } = ownOptions(options, ['controlPlane', 'token']);
    this.#url = `${baseUrl(controlPlane ?? '', '`usage.controlPlane`')}/v1/usage/batches`;
    if (typeof token !== 'string' || token === '') throw new TypeError('`usage` wants a usage token');
    this.#headers = sendable({ authorization: `Bearer ${token}`, 'content-type': 'application/json' }, '`usage`');
    [this.#core, this.#persists, this.#warn] = [core, persists, warn];
    core.count_usage();
  }

  /** Counts a request that has gone on. Never throws. */
  record(kept: string, keep: Keep): void {
    try {
      this.#arm(this.#core.used(kept, Date.now()), keep);
    } catch (error) {
      this.#warn(`what was used is not counted: ${error}`);
    }
  }

  account(): UsageAccount {
    return { waiting: this.#pending !== undefined, lost: this.#core.usage_lost() };
  }

  /** Hands over what is left, once, and waits for that a little. */
  async close(): Promise<void> {
    await wait(
      (async () => {
        await this.#sending?.over;
        await this.#handOver(1);
      })(),
      SETTLE_MS,
    );
  }

  /** Sets the timer behind an answer, if none is set. */
  #arm(isFull: boolean, keep: Keep): void {
    const now = Date.now();
    const waits = this.#armed !== undefined && now < this.#armed + OVERDUE_MS;
    // Where a batch waits, nothing is sent the sooner for being full.
    const hurries = isFull && this.#pending === undefined;
    if (hurries ? this.#isSending(now) : waits) return;
    keep(this.#later(hurries ? 0 : this.#againMs));
  }

  async #later(ms: number): Promise<void> {
    this.#armed = Date.now() + ms;
    await pause(ms);
    this.#armed = undefined;
    // Another is at it, and sees to what comes of it.
    if (this.#isSending(Date.now())) return;
    if (await this.#handOver(TRIES)) this.#againMs = GATHER_MS;
    else if (this.#persists) {
      this.#againMs = Math.min(this.#againMs * 2, AGAIN_MS_MAX);
      // What was used meanwhile may have set the next timer.
      if (this.#armed === undefined) void this.#later(this.#againMs);
    }
  }

  #isSending(now: number): boolean {
    return this.#sending !== undefined && now - this.#sending.begun < TRIES * (ANSWER_BUDGET_MS + PAUSE_MS);
  }

  /** Whether nothing is left to hand over. Never rejects, and never waits for another that is at it. */
  async #handOver(tries: number): Promise<boolean> {
    if (this.#isSending(Date.now())) return true;
    const sending = { over: this.#send(tries), begun: Date.now() };
    this.#sending = sending;
    const isDone = await sending.over;
    if (this.#sending === sending) this.#sending = undefined;
    return isDone;
  }

  async #send(tries: number): Promise<boolean> {
    try {
      for (let tried = 0; tried < tries; tried += 1) {
        if (tried > 0) await pause(PAUSE_MS);
        const batch = (this.#pending ??= this.#drawUp());
        if (batch === undefined) return true;
        if ((await this.#post(batch)) === 'delayed') continue;
        if (this.#pending === batch) this.#pending = undefined;
        return true;
      }
    } catch (error) {
      this.#warn(`usage is not handed over: ${error}`);
    }
    return false;
  }

  #drawUp(): Batch | undefined {
    const id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    const body = this.#core.usage_batch(id);
    return body === undefined ? undefined : { id, body };
  }

  async #post({ body }: Batch): Promise<Sent> {
    try {
      const status = await within(ANSWER_BUDGET_MS, async (signal) => {
        // A redirect would carry the token elsewhere.
        const response = await fetch(this.#url, { method: 'POST', headers: this.#headers, body, signal, redirect: 'manual' });
        await response.body?.cancel();
        return response.status;
      });
      if (status >= 200 && status < 300) return 'taken';
      if (REFUSED.includes(status)) {
        this.#warn(`a batch of usage is refused for good with ${status}, and dropped`);
        return 'refused';
      }
      this.#warn(`a batch of usage waits: it answered ${status}`);
    } catch (error) {
      this.#warn(`a batch of usage waits: ${error}`);
    }
    return 'delayed';
  }
}
