// The decision log: records of what was decided, for whoever keeps them.

/** One decision. Absent fields are left out, and fields may be added. Nothing in it is a secret or a caller's own words. */
export interface Decision {
  readonly v: 1;
  /** Unix milliseconds. */
  readonly at_ms: number;
  /** How long it took, waits included. */
  readonly took_ms: number;
  readonly outcome: 'allowed' | 'public' | 'shadow' | 'refused';
  /** What the client was told, or would have been. */
  readonly code?: string;
  /** The true reason. */
  readonly cause?: string;
  /** `CF-Ray`, or else `traceparent`, if it has the shape of one. */
  readonly request?: string;
  readonly method?: string;
  readonly host?: string;
  /** The pattern of the rule's path. */
  readonly rule?: string;
  readonly permission?: string;
  /** A key's public id. */
  readonly key?: string;
  readonly identity?: string;
  readonly role?: string;
  readonly project?: string;
  readonly generation?: number;
  readonly age_ms?: number;
  readonly stale?: true;
  /** It was judged again after it had been let in, and would not be any more. */
  readonly again?: true;
}

/** Hands a record over; whatever comes of it, nobody waits for it and nothing fails by it. */
export function hand(line: string, onDecision: (record: Decision) => unknown): void {
  try {
    Promise.resolve(onDecision(JSON.parse(line))).catch(() => {});
  } catch {
    // Whoever is to be told is not there.
  }
}
