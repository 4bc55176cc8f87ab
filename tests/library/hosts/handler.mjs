// What every host answers with: what its handler sees of a request.

import { createGate } from '@latchkey/gate';

export const made = (store, trust) => createGate({ source: { store }, trust, clientHeader: 'x-client', warn: () => {} });

export async function seen(request, caller) {
  const body = await request.text();
  return Response.json({
    url: request.url,
    headers: Object.fromEntries(request.headers),
    length: body.length,
    project: caller?.project.slug ?? null,
    model: caller?.model ?? null,
  });
}
