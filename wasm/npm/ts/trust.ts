// What `latchkey gate-env` and `latchkey edge-env` print.

/** The settings that either command prints, by name. */
export type Trust = {
  LATCHKEY_ROOT: string;
  LATCHKEY_PEPPER: string;
  LATCHKEY_PEPPER_2?: string;
  LATCHKEY_MINT: string;
  LATCHKEY_FLOOR?: string;
  LATCHKEY_GATE_TOKEN?: string;
  LATCHKEY_USAGE_TOKEN?: string;
};

const NAMES = [
  'LATCHKEY_ROOT',
  'LATCHKEY_PEPPER',
  'LATCHKEY_PEPPER_2',
  'LATCHKEY_MINT',
  'LATCHKEY_FLOOR',
  'LATCHKEY_GATE_TOKEN',
  'LATCHKEY_USAGE_TOKEN',
] as const;
/** Printed too, and nothing to a gate inside an application. */
const OTHERS = [
  'LATCHKEY_PUSH_TOKEN',
  'LATCHKEY_EDGE_KEY',
  'LATCHKEY_CONTROL_URL',
  'LATCHKEY_RELAYS',
  'LATCHKEY_FORWARD_TOKEN',
];

/** What is trusted, read; nothing of it is shown in an error. */
export interface Trusted {
  root: Uint8Array;
  peppers: string[];
  mint: string;
  floor: string | undefined;
  token: string | undefined;
  usageToken: string | undefined;
}

export function trusted(trust: string | Partial<Trust>): Trusted {
  const values = typeof trust === 'string' ? lines(trust) : own(trust);
  const must = (name: string): string => {
    const value = values.get(name);
    if (value === undefined) throw new TypeError(`\`${name}\` is not set: \`latchkey gate-env\` writes it`);
    return value;
  };
  const second = values.get('LATCHKEY_PEPPER_2');
  return {
    root: base64(must('LATCHKEY_ROOT')),
    peppers: [must('LATCHKEY_PEPPER'), ...(second === undefined ? [] : [second])],
    mint: must('LATCHKEY_MINT'),
    floor: values.get('LATCHKEY_FLOOR'),
    token: values.get('LATCHKEY_GATE_TOKEN'),
    usageToken: values.get('LATCHKEY_USAGE_TOKEN'),
  };
}

function lines(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line === '') continue;
    const from = line.indexOf('=');
    const name = line.slice(0, Math.max(from, 0));
    const isKnown = (NAMES as readonly string[]).includes(name) || OTHERS.includes(name);
    if (!isKnown || values.has(name)) throw new TypeError(`line ${at + 1} of \`trust\` is no setting of a gate`);
    if (from + 1 < line.length) values.set(name, line.slice(from + 1));
  }
  return values;
}

/** The environment of a process or of a Worker will do: other names are nothing here. */
function own(trust: Partial<Trust>): Map<string, string> {
  const values = new Map<string, string>();
  for (const name of NAMES) {
    const value: unknown = Object.hasOwn(trust, name) ? trust[name] : undefined;
    if (value === undefined || value === '') continue;
    if (typeof value !== 'string') throw new TypeError(`\`${name}\` is no text`);
    values.set(name, value);
  }
  return values;
}

function base64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new TypeError('`LATCHKEY_ROOT` is not base64');
  }
}
