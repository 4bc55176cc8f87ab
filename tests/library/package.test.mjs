// The package as it would be published: what is in it, and that its types say what it does.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const PACKAGE = 'wasm/npm/build/package';
const MODULES = ['all', 'copy', 'decision', 'directory', 'gate', 'hono', 'need', 'node', 'protect', 'source', 'time', 'trust', 'usage', 'verdict', 'workerd'];

/** What of Node each module needs; nothing that a Worker loads needs any. */
const NODE = { node: ['node:fs'], directory: ['node:fs/promises'] };

test('the package has what it needs and nothing else', () => {
  const [{ files, name }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd: PACKAGE, encoding: 'utf8' }));
  assert.equal(name, '@latchkey/gate');
  const expected = [
    'LICENSE',
    'README.md',
    'dist/latchkey.js',
    'dist/latchkey_bg.wasm',
    ...MODULES.flatMap((module) => [`dist/${module}.d.ts`, `dist/${module}.js`]),
    'package.json',
  ];
  assert.deepEqual(files.map(({ path }) => path).sort(), expected.sort());
  assert.equal(readFileSync(`${PACKAGE}/LICENSE`, 'utf8'), readFileSync('LICENSE', 'utf8'));
});

test('the package needs no other, and says where each host begins', () => {
  const told = JSON.parse(readFileSync(`${PACKAGE}/package.json`, 'utf8'));
  assert.equal(told.dependencies, undefined);
  for (const module of MODULES) {
    const imports = [...readFileSync(`${PACKAGE}/dist/${module}.js`, 'utf8').matchAll(/from '([^']+)'/g)].map(([, from]) => from);
    const others = imports.filter((from) => !from.startsWith('./'));
    assert.deepEqual(others, NODE[module] ?? [], module);
  }
  const hosts = told.exports['.'];
  // A browser must not have a pepper; so nothing is there for one.
  assert.deepEqual(Object.keys(hosts), ['types', 'workerd', 'deno', 'bun', 'node']);
  assert.equal(hosts.default, undefined);
});

test('the module names no path of the machine that built it', () => {
  const module = readFileSync(`${PACKAGE}/dist/latchkey_bg.wasm`, 'latin1');
  for (const path of [process.env.HOME, process.cwd(), '/root/', '/home/']) {
    assert.ok(!path || !module.includes(path), path);
  }
});

test('the types are those that a user needs, and refuse what is refused', () => {
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '--project', 'tests/library'], { stdio: 'inherit' });
});
