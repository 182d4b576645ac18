// What a new cluster begins with: namespaces, the built-in tiers, an address pool, agent parameters.
import {
  apiVersionOf,
  BUILT_IN_TIERS,
  clusterInformationKind,
  felixConfigurationKind,
  ipPoolKind,
  type KindDefinition,
  namespaceKind,
  tierKind,
} from '#api';
import { RequestError } from './request-error.ts';
import type { Resources } from './resources.ts';

interface Seed {
  readonly kind: KindDefinition;
  readonly name: string;
  readonly spec?: Record<string, unknown>;
}

/** Made once: an administrator may delete them for good. */
const FIRST_START: readonly Seed[] = [
  { kind: namespaceKind, name: 'default' },
  { kind: namespaceKind, name: 'kube-system' },
  {
    kind: felixConfigurationKind,
    name: 'default',
    spec: { defaultEndpointToHostAction: 'Accept' },
  },
  { kind: ipPoolKind, name: 'default-ipv4-ippool', spec: { cidr: '10.244.0.0/16' } },
];

/** Creates what is missing; what only the first start makes, only while there is no namespace. */
export async function seed(resources: Resources): Promise<void> {
  const { items } = await resources.list(namespaceKind, undefined);
  // Tiers first: the namespaces, which mark that the rest was made, are durable last.
  for (const tier of BUILT_IN_TIERS) {
    await create(resources, { kind: tierKind, name: tier.metadata.name, spec: tier.spec });
  }
  if (items.length > 0) return;
  // Every installation of Calico has one: its pools and parameters are not to be added to.
  const { items: installed } = await resources.list(clusterInformationKind, undefined);
  for (const entry of FIRST_START.toReversed()) {
    if (installed.length === 0 || entry.spec === undefined) await create(resources, entry);
  }
}

async function create(resources: Resources, { kind, name, spec }: Seed): Promise<void> {
  const body = {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    metadata: { name },
    ...(spec ? { spec } : {}),
  };
  try {
    await resources.create({ kind, namespace: '' }, body, { dryRun: false });
  } catch (error) {
    if (!(error instanceof RequestError && error.reason === 'AlreadyExists')) throw error;
  }
}
