// Makes a gate, has it judge one request, and ends: a gate keeps no process alive.

import process from 'node:process';
import { made } from './handler.mjs';

const [store, trust, authorization] = process.argv.slice(2);
const gate = made(store, JSON.parse(trust));
const verdict = await gate.check(new Request('http://api.example/v1/echo', { method: 'POST', headers: { authorization } }));
console.log(verdict.allowed ? 'in' : verdict.code);
