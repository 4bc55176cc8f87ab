// What the edge has its runtime do, where nobody sees it from without.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Wait } from '../../wasm/edge/src/runtime.js';

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
afterEach(() => mock.timers.reset());

/** A promise, and how often somebody began to listen to it. */
function counted() {
  const { promise, resolve, reject } = Promise.withResolvers();
  const told = { promise, resolve, reject, listeners: 0 };
  const then = promise.then.bind(promise);
  promise.then = (...handlers) => {
    told.listeners += 1;
    return then(...handlers);
  };
  return told;
}

const turn = async (wait) => {
  const came = wait.within(5000);
  mock.timers.tick(5000);
  return came;
};

test('a promise that takes days is listened to once', async () => {
  const socket = counted();
  const wait = new Wait(socket.promise);
  for (let turns = 0; turns < 1000; turns += 1) assert.equal(await turn(wait), null);
  assert.equal(socket.listeners, 1);
  const last = wait.within(5000);
  socket.resolve('over');
  assert.equal(await last, 'over');
});

test('what a promise comes to between two turns is what the next one is told', async () => {
  for (const how of ['resolve', 'reject']) {
    const origin = counted();
    const wait = new Wait(origin.promise);
    assert.equal(await turn(wait), null);
    origin[how]('it is over');
    await new Promise(setImmediate);
    const next = wait.within(5000);
    if (how === 'resolve') assert.equal(await next, 'it is over');
    else await assert.rejects(next, /it is over/);
  }
});

test('what fails while nobody waits is nobody\'s failure', async () => {
  const failures = [];
  const note = (error) => failures.push(error);
  process.on('unhandledRejection', note);
  const origin = counted();
  new Wait(origin.promise);
  origin.reject(new Error('broke off'));
  await new Promise(setImmediate);
  process.off('unhandledRejection', note);
  assert.deepEqual(failures, []);
});
