export type { Copy } from './copy.js';
export type { Decision } from './decision.js';
export { createGate, Gate, type Arrival, type GateOptions, type Status } from './gate.js';
export type { Need, Resource } from './need.js';
export { protect, type ProtectOptions } from './protect.js';
export type { ControlPlaneSource, CustomSource, Source, StoreSource } from './source.js';
export type { Trust } from './trust.js';
export type { UsageAccount, UsageOptions } from './usage.js';
export { stillAllowed, type Admitted, type Caller, type Named, type Refused, type Verdict } from './verdict.js';
