// What an application says that a request needs.

/** A resource of the project, registered with the control plane. */
export interface Resource {
  /** `cluster`, `volume`, `model`, `endpoint`, `evaluation` or `file`. */
  type: string;
  id: string;
}

/**
 * What a request needs, where no route rule says it. What is left out is not needed; what is there must be a text, so
 * that a variable which happens to be `undefined` never means less.
 */
export interface Need {
  /** `files.read`, say. */
  permission: string;
  /** The project's id or slug. Left out: the key's own, or the one that a session names in `Latchkey-Project`. */
  project?: string;
  resource?: Resource;
  /** Its name, or the field of the JSON body that has it. */
  model?: string | { body: string };
  /** Which kinds of credential may come; `key` if nothing is said. */
  credentials?: 'key' | 'session' | 'any';
  /** Never answered from knowledge older than a second. */
  fresh?: boolean;
}

/** What each field may be: another type would be written as something that means less. */
type Fields = Record<string, readonly string[]>;
const FIELDS: Fields = {
  permission: ['string'],
  project: ['string'],
  resource: ['object'],
  model: ['string', 'object'],
  credentials: ['string'],
  fresh: ['boolean'],
};

/** The need as JSON, of nothing but its own fields. */
export function encode(need: Need): string {
  const plain = ownFields(need, FIELDS, '`need`');
  if (Object.hasOwn(plain, 'resource')) plain['resource'] = ownFields(plain['resource'], { type: ['string'], id: ['string'] }, '`need.resource`');
  if (typeof plain['model'] === 'object') plain['model'] = ownFields(plain['model'], { body: ['string'] }, '`need.model`');
  return JSON.stringify(plain);
}

/** A copy without a prototype, so that nothing which was put on one is taken for a field, or for a way to write them. */
function ownFields(value: unknown, fields: Fields, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError(`${what} is no object`);
  const copy: Record<string, unknown> = Object.create(null);
  for (const [name, field] of Object.entries(value)) {
    const types = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (types === undefined) throw new TypeError(`${what} has no field \`${name}\``);
    if (field === undefined || field === null) throw new TypeError(`${what} has \`${name}\` without a value`);
    if (!types.includes(typeof field)) throw new TypeError(`${what} has as \`${name}\` what it cannot be: a ${typeof field}`);
    copy[name] = field;
  }
  return copy;
}

/** The options of a wrapper, of its own fields and no others: one that is misspelled would leave all to the route rules. */
export function ownOptions<T extends object>(options: T, names: readonly (keyof T & string)[]): Partial<T> {
  const own: Partial<T> = Object.create(null);
  for (const name of Object.keys(options)) {
    const known = names.find((one) => one === name);
    if (known === undefined) throw new TypeError(`there is no option \`${name}\``);
    if (options[known] === undefined) throw new TypeError(`the option \`${name}\` has no value`);
    own[known] = options[known];
  }
  return own;
}

/** What an application's function says that a request needs: always something. */
export function said(need: Need | undefined): Need {
  if (need === undefined || need === null) throw new TypeError('`need` gave no need');
  return need;
}
