// Waiting, with an end to it.

/** What became of something that was waited for. */
export type Waited<T> = { done: true; value: T } | { done: false };

/** Waits so long and no longer. What is late goes on by itself; what fails is late for ever. */
export async function wait<T>(promise: Promise<T>, ms: number): Promise<Waited<T>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Waited<T>>((resolve) => {
    timer = setTimeout(() => resolve({ done: false }), ms);
  });
  const done: Promise<Waited<T>> = promise.then(
    (value) => ({ done: true, value }),
    () => ({ done: false }),
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs something that is told to give up after so long, and is given up whether it does or not. */
export async function within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  // What throws at once fails like what throws later.
  const working = (async () => work(abort.signal))();
  const waited = await wait(working.then((value) => ({ value }), (error: unknown) => ({ error })), ms);
  if (!waited.done) {
    abort.abort();
    throw new Error('it did not answer in time');
  }
  if ('error' in waited.value) throw waited.value.error;
  return waited.value.value;
}

/** A pause that keeps no process alive, where the host can do that. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer: unknown = setTimeout(resolve, ms);
    const host = globalThis as { Deno?: { unrefTimer?(timer: number): void } };
    if (typeof timer === 'number') host.Deno?.unrefTimer?.(timer);
    else (timer as { unref?(): void }).unref?.();
  });
}
