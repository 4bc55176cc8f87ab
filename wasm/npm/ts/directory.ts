// A directory as a last good copy, in the places of a published one.

import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { Copy } from './copy.js';

/** How long an object is kept that nothing names: a head that names it may be about to be kept. */
const KEEP_UNNAMED_MS = 3_600_000;

export function directory(path: string): Copy {
  return {
    async load(name) {
      try {
        return await readFile(`${path}/${name}`);
      } catch (error) {
        if ((error as { code?: string }).code === 'ENOENT') return null;
        throw error;
      }
    },
    async save(name, bytes) {
      const whole = `${path}/${name}`;
      await mkdir(whole.slice(0, whole.lastIndexOf('/')), { recursive: true, mode: 0o700 });
      await writeFile(`${whole}.part`, bytes);
      await rename(`${whole}.part`, whole);
    },
    async retain(names) {
      for (const file of await readdir(`${path}/objects`)) {
        if (names.has(`objects/${file}`)) continue;
        const { mtimeMs } = await stat(`${path}/objects/${file}`);
        if (Date.now() - mtimeMs >= KEEP_UNNAMED_MS) await rm(`${path}/objects/${file}`);
      }
    },
  };
}
