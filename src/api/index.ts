// The door of api: every resource kind with its schema, type, defaults and checks.
export * from './felix-configuration.ts';
export * from './host-endpoint.ts';
export * from './ip-pool.ts';
export * from './kind.ts';
export * from './kinds.ts';
export * from './kubernetes.ts';
export * from './network-set.ts';
export * from './policy.ts';
export * from './rule.ts';
