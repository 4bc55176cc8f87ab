// What every host answers with: what its handler sees of a request.

import { createGate, stillAllowed } from '@latchkey/gate';

export const made = (store, trust, controlPlane, copy) =>
  createGate({
    source: { store },
    trust,
    usage: { controlPlane, token: 'lku_x' },
    ...(copy === undefined ? {} : { copy }),
    clientHeader: 'x-client',
    warn: () => {},
  });

const TICK_MS = 50;

/** A stream of events for as long as its caller is let in. */
function events(request) {
  const body = new ReadableStream({
    async pull(stream) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
      if (await stillAllowed(request)) stream.enqueue(new TextEncoder().encode('data: on\n\n'));
      else stream.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
}

export async function seen(request, caller) {
  if (new URL(request.url).pathname === '/v1/named/events') return events(request);
  const body = await request.text();
  return Response.json({
    url: request.url,
    headers: Object.fromEntries(request.headers),
    length: body.length,
    project: caller?.project.slug ?? null,
    model: caller?.model ?? null,
  });
}
