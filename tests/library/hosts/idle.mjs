// Makes a gate, has it judge one request, and ends: a gate keeps no process alive, though it has usage to hand over.

import process from 'node:process';
import { made } from './handler.mjs';

const [store, trust, control, authorization, copy] = process.argv.slice(2);
const gate = made(store, JSON.parse(trust), control, copy);
const verdict = await gate.check(new Request('http://api.example/v1/echo', { method: 'POST', headers: { authorization } }));
if (verdict.allowed) verdict.share(new Response(''));
console.log(verdict.allowed ? 'in' : verdict.code);
