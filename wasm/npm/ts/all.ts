export { createGate, Gate, type Arrival, type GateOptions, type Status } from './gate.js';
export type { Need, Resource } from './need.js';
export { protect, type ProtectOptions } from './protect.js';
export type { ControlPlaneSource, CustomSource, Source, StoreSource } from './source.js';
export type { Trust } from './trust.js';
export type { Admitted, Caller, Named, Refused, Verdict } from './verdict.js';
