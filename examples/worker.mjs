// A Worker with Latchkey inside: each request is judged in its isolate, with no network call; what is published is looked at behind
// the answers. Its secrets are the lines of `latchkey gate-env`, and LATCHKEY_CONTROL_URL is where the control plane is.

import { createGate, protect } from '@latchkey/gate';

const CLASSES = [6000, 600, 60, 10];

// One gate an isolate, made when the first request brings the secrets.
let made;
const gate = (env) =>
  (made ??= createGate({
    trust: env,
    source: { controlPlane: env.LATCHKEY_CONTROL_URL },
    // Its token is LATCHKEY_USAGE_TOKEN, which the operator fills in.
    usage: { controlPlane: env.LATCHKEY_CONTROL_URL },
    // Cloudflare sets it anew on every request, whatever the client sent.
    clientHeader: 'cf-connecting-ip',
    // Keys with a rate are counted by bindings, whose limits are fixed: each by the class at its rate or below.
    rate: async (family, perMinute) => {
      const limit = CLASSES.find((one) => one <= perMinute);
      return limit !== undefined && (await env[`RATE_${limit}`].limit({ key: family })).success;
    },
  }));

const files = protect(gate, (request, caller) =>
  Response.json({ files: [], project: caller.project.id, for: `key ${caller.key}` }),
);
// Here the application says what is needed, from what its handler acts on.
const evaluate = protect(
  gate,
  (request, caller) => Response.json({ project: caller.project.slug, for: `key ${caller.key}` }),
  { need: { permission: 'evaluations.create' } },
);

export default {
  fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === '/healthz') return new Response('ok');
    if (pathname === '/v1/whoami') return gate(env).whoami(request, { waitUntil: (work) => context.waitUntil(work) });
    if (pathname === '/internal/evaluate' && request.method === 'POST') return evaluate(request, env, context);
    // By the operator's route rules.
    return files(request, env, context);
  },
};
