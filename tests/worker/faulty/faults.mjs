// What is ordered of those that may fail, and the counts of what they did: of one script.

let faults = {};
let counts = {};

export const order = (orders) => (faults = orders);
export const ordered = (who) => faults[who];
export const count = (what) => (counts[what] = (counts[what] ?? 0) + 1);
/** The counts since this was asked last. */
export function take() {
  const told = counts;
  counts = {};
  return told;
}

export const served = (bytes) => new Response(bytes, { headers: { 'content-length': `${bytes.length}` } });
const forever = () => new Promise(() => {});
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const noise = () => crypto.getRandomValues(new Uint8Array(300));

/** Counts a fault; the error to throw. */
export function fault(who) {
  count(`fault ${who}`);
  return new Error(`${who} is out of order`);
}

/** The reads that were broken off last. */
const broken = {};
/** A read as soon after one that was broken off is the same look's second. */
const SECOND_MS = 200;

/** Breaks a read off, unless it comes right behind one that was. */
function breakFirst(who) {
  const isSecond = Date.now() - (broken[who] ?? 0) < SECOND_MS;
  broken[who] = isSecond ? 0 : Date.now();
  if (!isSecond) throw fault(who);
}

/** Does what is ordered of `who`; `undefined`: nothing is, or not here. */
export async function misdeed(who) {
  const what = faults[who];
  if (what === 'break first') breakFirst(who);
  if (!['hang', 'reject', 'status', 'garbage', 'nonsense'].includes(what) && !Number.isInteger(what)) return undefined;
  const error = fault(who);
  if (what === 'hang') await forever();
  if (what === 'reject') throw error;
  if (what === 'status') return new Response('out of order', { status: 500 });
  if (what === 'garbage') return served(noise());
  if (what === 'nonsense') return { status: 200, ok: true };
  await sleep(what);
  return undefined;
}
