// The kinds of resources that the calculation reads, and no others.
import type { KindDefinition } from '#api';
import { POLICY_KINDS } from './policy-decoder.ts';

const OTHER_KINDS: readonly string[] = [
  '/Pod',
  '/Namespace',
  '/ServiceAccount',
  '/Node',
  'discovery.k8s.io/EndpointSlice',
  'projectcalico.org/Tier',
  'projectcalico.org/NetworkSet',
  'projectcalico.org/GlobalNetworkSet',
  'projectcalico.org/HostEndpoint',
  'projectcalico.org/Profile',
  'projectcalico.org/IPPool',
  'projectcalico.org/IPAMBlock',
  'projectcalico.org/FelixConfiguration',
  'projectcalico.org/BGPConfiguration',
  'projectcalico.org/LiveMigration',
  '/Service',
];

/** Whether the calculation reads a kind: what an agent need not watch, it should not. */
export function isInputKind({ group, kind }: Pick<KindDefinition, 'group' | 'kind'>): boolean {
  const id = `${group}/${kind}`;
  return POLICY_KINDS.has(id) || OTHER_KINDS.includes(id);
}
