// One flow for tests of what takes flows in: `shop/cart` calls `shop/db`, which reports it.
import type { Flow } from '#flows';

/** Of one of the owners' pods, labelled by its name. */
export function shopEnd(name: string, more: Partial<Flow['source']> = {}): Flow['source'] {
  const addresses: Readonly<Record<string, string>> = { cart: '10.0.0.1', db: '10.0.0.2' };
  const address = addresses[name] ?? '10.0.0.3';
  const aggregate = `${name}-*`;
  const labels = { app: name };
  return { type: 'workload', namespace: 'shop', name, aggregate, address, labels, ...more };
}

/** All in one moment, on node `one`. */
export function shopFlow(timeMs: number, more: Partial<Flow> = {}): Flow {
  return {
    startTime: timeMs,
    endTime: timeMs,
    reporter: 'dst',
    node: 'one',
    source: shopEnd('cart'),
    destination: shopEnd('db'),
    protocol: 'tcp',
    port: 5432,
    verdict: 'allow',
    packets: { in: 3, out: 4 },
    bytes: { in: 30, out: 40 },
    connections: { started: 1, completed: 0, live: 1 },
    policies: [
      {
        direction: 'ingress',
        tier: 'default',
        kind: 'NetworkPolicy',
        namespace: 'shop',
        name: 'default.db',
        rule: 1,
        action: 'allow',
      },
    ],
    ...more,
  };
}
