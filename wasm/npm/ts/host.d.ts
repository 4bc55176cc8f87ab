// As much of the hosts as is used here.

declare module 'node:fs' {
  export function readFileSync(path: URL): Uint8Array<ArrayBuffer>;
}

declare module 'node:fs/promises' {
  export function mkdir(path: string, options: { recursive: boolean; mode: number }): Promise<unknown>;
  export function readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
  export function readdir(path: string): Promise<string[]>;
  export function rename(from: string, to: string): Promise<void>;
  export function rm(path: string): Promise<void>;
  export function stat(path: string): Promise<{ mtimeMs: number }>;
  export function writeFile(path: string, bytes: Uint8Array): Promise<void>;
}

declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
