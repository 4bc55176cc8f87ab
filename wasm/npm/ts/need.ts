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

const FIELDS = ['permission', 'project', 'resource', 'model', 'credentials', 'fresh'];

/** The need as JSON, of nothing but its own fields. */
export function encode(need: Need): string {
  const plain = ownFields(need, FIELDS, '`need`');
  if (Object.hasOwn(plain, 'resource')) plain['resource'] = ownFields(plain['resource'], ['type', 'id'], '`need.resource`');
  if (typeof plain['model'] === 'object') plain['model'] = ownFields(plain['model'], ['body'], '`need.model`');
  return JSON.stringify(plain);
}

/** A copy without a prototype, so that nothing which was put on one is taken for a field, or for a way to write them. */
function ownFields(value: unknown, names: string[], what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError(`${what} is no object`);
  const copy: Record<string, unknown> = Object.create(null);
  for (const [name, field] of Object.entries(value)) {
    if (!names.includes(name)) throw new TypeError(`${what} has no field \`${name}\``);
    if (field === undefined || field === null) throw new TypeError(`${what} has \`${name}\` without a value`);
    copy[name] = field;
  }
  return copy;
}
