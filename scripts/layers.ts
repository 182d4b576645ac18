// Who may import whom: the layer table of ARCHITECTURE.md as data.

/** For each layer, the doors it may import. `#x` allows the whole door, `#x/y` that file alone. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  linux: ['#lib'],
  selector: ['#lib'],
  api: ['#lib', '#selector'],
  policy: ['#lib', '#selector', '#api'],
  datastore: ['#lib', '#lib/protobuf-message', '#selector', '#api'],
  ipam: ['#lib', '#api', '#datastore/client'],
  calc: ['#lib', '#selector', '#api', '#datastore/syncer'],
  dataplane: ['#lib', '#linux', '#calc/dataplane-update'],
  flows: ['#lib', '#selector', '#api', '#datastore/syncer'],
  flowstore: ['#lib', '#selector', '#flows'],
  goldmane: ['#lib', '#lib/protobuf-message', '#selector', '#flows', '#flowstore'],
  metrics: ['#lib', '#flows', '#flowstore'],
  capture: ['#lib', '#linux', '#selector', '#api'],
  cni: ['#lib', '#linux', '#api', '#datastore/client', '#ipam'],
  agent: [
    '#lib',
    '#linux',
    '#selector',
    '#api',
    '#calc/dataplane-update',
    '#datastore/syncer',
    '#flows',
  ],
  apiserver: ['#lib', '#selector', '#api', '#policy', '#datastore', '#flows', '#flowstore'],
  lab: ['#lib', '#linux', '#api', '#datastore/client'],
  cli: [
    '#lib',
    '#selector',
    '#api',
    '#policy',
    '#datastore',
    '#datastore/client',
    '#ipam',
    '#flows',
    '#lab',
  ],
};

/** Layers without clock, timers, promises, randomness or `node:` imports. */
export const PURE: readonly string[] = ['lib', 'selector', 'api', 'policy', 'calc', 'flows'];

/** Each third-party package, and the layers that may import it. */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  koffi: ['linux'],
  typebox: ['api'],
  yaml: ['api', 'datastore', 'apiserver', 'cli'],
  undici: ['datastore'],
  '@grpc/grpc-js': ['datastore', 'goldmane'],
  '@bufbuild/protobuf': ['lib'],
  '@duckdb/node-api': ['flowstore'],
  '@clickhouse/client': ['flowstore'],
  'prom-client': ['metrics'],
  fastify: ['apiserver'],
  jose: ['apiserver'],
  pino: ['cmd'],
  commander: ['cli', 'cmd'],
};
