// As much of the hosts as is used here.

declare module 'node:fs' {
  export function readFileSync(path: URL): Uint8Array<ArrayBuffer>;
}

declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
