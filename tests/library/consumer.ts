// What somebody who uses the types writes; package.test.mjs has the compiler read it.

import { createGate, protect, stillAllowed, type Caller, type Decision, type Gate, type Need, type Verdict } from '@latchkey/gate';
import { latchkey, type LatchkeyVariables } from '@latchkey/gate/hono';
import { Hono } from 'hono';

const gate: Gate = createGate({ source: { controlPlane: 'https://control.example', token: 'x' }, trust: 'LATCHKEY_ROOT=…' });
createGate({ source: { store: 'https://store.example/latchkey' }, trust: { LATCHKEY_ROOT: '…' }, clientHeader: 'x-real-ip' });
createGate({
  source: { head: async () => null, root: async () => null, object: async (digest, lenMax) => new Uint8Array(digest.length + lenMax) },
  trust: '',
  rate: async (family, perMinute) => family.length < perMinute,
  onDecision: ({ outcome, cause }: Decision) => console.log(outcome, cause),
  decisions: '0.01,refused=1',
  copy: { load: async () => undefined, save: async (name, bytes) => console.log(name, bytes.length) },
  usage: { controlPlane: 'https://control.example', token: 'x' },
});

const need: Need = { permission: 'files.read', project: 'alpha', resource: { type: 'file', id: 'a' }, model: { body: 'model' } };

export async function judged(request: Request): Promise<Response> {
  const verdict: Verdict = await gate.check(request, need, { client: '10.0.0.1' });
  if (!verdict.allowed) return verdict.response();
  const caller: Caller | null = verdict.caller;
  if (!(await verdict.stillAllowed()) || !(await stillAllowed(request))) return new Response(null);
  return verdict.share(new Response(caller?.project.slug));
}

interface Env {
  LATCHKEY_ROOT: string;
}
interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

// As a Worker's fetch handler.
export default {
  fetch: protect(
    (env: Env, _: Context) => createGate({ source: { store: 'https://store.example' }, trust: env }),
    (request, caller, env) => new Response(`${request.url} ${caller?.key} ${env.LATCHKEY_ROOT}`),
    { need: (request) => ({ permission: 'files.view', project: new URL(request.url).hostname }) },
  ),
};

const app = new Hono<{ Variables: LatchkeyVariables }>();
app.use(latchkey(gate, { need: (c) => ({ permission: 'files.view', project: c.req.header('x-project') ?? '' }) }));
app.get('/', (c) => c.json({ project: c.get('latchkey')?.project.id }));

// @ts-expect-error: a need has a permission.
gate.check(new Request('https://api.example'), { project: 'alpha' });
// @ts-expect-error: what is `undefined` is no project.
gate.check(new Request('https://api.example'), { permission: 'files.view', project: undefined });
// @ts-expect-error: who was refused has no project.
gate.check(new Request('https://api.example')).then((verdict) => verdict.caller.project);
// @ts-expect-error: somewhere it must read.
createGate({ trust: '' });
