// The last good copy, to start with while no source answers: the head that served last, its roots, and every object that was read.
//
// It is no better than any other source: the gate verifies what is read here like what comes over the network.

import { digest as digestOf } from './latchkey.js';
import { HEAD_LEN_MAX, ROOT_LEN_MAX, bounded } from './source.js';
import { wait, within } from './time.js';

/**
 * A place that keeps bytes under names: `head`, `roots/<n>` and `objects/<digest>`. Whatever it throws counts as: it has nothing, or
 * keeps nothing. It must give a name's old bytes or its new ones and no mixture; what is torn is refused.
 */
export interface Copy {
  /** What was saved last under a name. */
  load(name: string): Promise<Uint8Array | null | undefined>;
  save(name: string, bytes: Uint8Array): Promise<void>;
  /** Every hour: objects with other names than these may be forgotten, if they were saved more than an hour ago. */
  retain?(names: ReadonlySet<string>): Promise<void>;
}

const LOAD_BUDGET_MS = 500;
const SAVE_BUDGET_MS = 5000;
/** How old the head of the copy becomes: a start with it is stale by as much at once. */
const KEEP_EVERY_MS = 5000;
const RETAIN_EVERY_MS = 3_600_000;

/** A copy as the gate uses it. Nothing here rejects. */
export class LastGood {
  readonly #copy: Copy;
  readonly #warn: (message: string) => void;
  readonly #saving = new Set<Promise<void>>();
  #kept: { generation: number | null; at: number } | undefined;
  /** A head that is to be saved once the one before it is. */
  #next: Uint8Array | undefined;
  /** When a head began to be saved that is not yet; in a Worker its request may be gone, and it with it. */
  #savingHeadSince: number | undefined;
  #retainedAt: number | undefined;
  #isTold = false;

  constructor(copy: Copy, warn: (message: string) => void) {
    for (const method of [copy.load, copy.save]) {
      if (typeof method !== 'function') throw new TypeError('`copy` is the path of a directory, or has `load` and `save`');
    }
    [this.#copy, this.#warn] = [copy, warn];
  }

  head(): Promise<Uint8Array | null> {
    return this.#load('head', HEAD_LEN_MAX);
  }

  root(version: number): Promise<Uint8Array | null> {
    return this.#load(`roots/${version}`, ROOT_LEN_MAX);
  }

  /** An object, if these are its bytes. */
  async object(digest: string, lenMax: number): Promise<Uint8Array | null> {
    const bytes = await this.#load(`objects/${digest}`, lenMax);
    return bytes !== null && digestOf(bytes) === digest ? bytes : null;
  }

  /** Keeps a head that serves: when it says something new, and now and then as it grows older. */
  keepHead(bytes: Uint8Array, generation: number | null): void {
    const now = Date.now();
    const isDue = this.#kept === undefined || now - this.#kept.at >= KEEP_EVERY_MS;
    if (!isDue && this.#kept?.generation === generation) return;
    this.#kept = { generation, at: now };
    this.#next = bytes;
    const isSaving = this.#savingHeadSince !== undefined && now - this.#savingHeadSince < 2 * SAVE_BUDGET_MS;
    if (!isSaving) this.#begin(this.#saveHeads());
  }

  keepRoot(version: number, bytes: Uint8Array): void {
    this.#begin(this.#save(`roots/${version}`, bytes));
  }

  keepObject(digest: string, bytes: Uint8Array): void {
    this.#begin(this.#save(`objects/${digest}`, bytes));
  }

  /** Has forgotten what is not needed any more, once that is known, every hour. */
  sweep(named: () => string | undefined): void {
    const retain = this.#copy.retain;
    if (typeof retain !== 'function') return;
    if (this.#retainedAt !== undefined && Date.now() - this.#retainedAt < RETAIN_EVERY_MS) return;
    const digests = named();
    if (digests === undefined) return;
    this.#retainedAt = Date.now();
    const names = new Set((JSON.parse(digests) as string[]).map((digest) => `objects/${digest}`));
    this.#begin(this.#tried('swept', async () => retain.call(this.#copy, names)));
  }

  /** Waits for what is being saved, so long and no longer. */
  async settled(): Promise<void> {
    const saving = [...this.#saving];
    await wait(Promise.all(saving), SAVE_BUDGET_MS);
    // What is not done by now is gone with its request.
    for (const one of saving) this.#saving.delete(one);
  }

  async #load(name: string, lenMax: number): Promise<Uint8Array | null> {
    try {
      return bounded(await within(LOAD_BUDGET_MS, async () => this.#copy.load(name)), lenMax);
    } catch (error) {
      this.#tell('read', error);
      return null;
    }
  }

  /** One at a time, so that an older one is never saved over a newer. */
  async #saveHeads(): Promise<void> {
    for (let bytes = this.#next; bytes !== undefined; bytes = this.#next) {
      this.#next = undefined;
      this.#savingHeadSince = Date.now();
      await this.#save('head', bytes);
    }
    this.#savingHeadSince = undefined;
  }

  #save(name: string, bytes: Uint8Array): Promise<void> {
    return this.#tried('kept', async () => this.#copy.save(name, bytes));
  }

  async #tried(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await within(SAVE_BUDGET_MS, work);
      this.#isTold = false;
    } catch (error) {
      this.#tell(what, error);
    }
  }

  #begin(saving: Promise<void>): void {
    this.#saving.add(saving);
    void saving.finally(() => this.#saving.delete(saving));
  }

  /** Once, until something succeeds. */
  #tell(what: string, error: unknown): void {
    if (!this.#isTold) this.#warn(`the last good copy cannot be ${what}: ${error}`);
    this.#isTold = true;
  }
}
