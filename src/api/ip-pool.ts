// IPPool: the addresses that pods, tunnels and services are given (spec 01, 1.2 and 1.3; spec 05).
import { ConditionsStatus } from './conditions.ts';
import { BLOCK_SIZE_RULES, CIDR_RULES, POOL_RULES } from './ip-pool-cel.ts';
import {
  familyBits,
  formatPrefix,
  maskPrefix,
  parsePrefix,
  type Prefix,
  prefixContains,
} from '#lib';
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, quoted } from './problem.ts';
import { SelectorText } from './rule.ts';

const Mode = Type.Enum(['Never', 'Always', 'CrossSubnet']);
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10'].map(parsePrefix);

export const IPPoolSpec = Type.Object(
  {
    cidr: Type.String({ maxLength: 48, crd: { format: 'cidr', ...CIDR_RULES } }),
    vxlanMode: Type.Optional(Mode),
    ipipMode: Type.Optional(Mode),
    natOutgoing: Type.Optional(Type.Boolean()),
    disabled: Type.Optional(Type.Boolean()),
    disableBGPExport: Type.Optional(Type.Boolean()),
    /** Length of the prefixes that nodes are given whole; 0 means the default, 26 or 122. */
    blockSize: Type.Optional(Type.Integer({ minimum: 0, maximum: 128, crd: BLOCK_SIZE_RULES })),
    nodeSelector: Type.Optional(
      Type.String({ format: 'selector', maxLength: 1024, crd: { default: 'all()' } }),
    ),
    namespaceSelector: Type.Optional(SelectorText),
    allowedUses: Type.Optional(
      Type.Array(Type.Enum(['Workload', 'Tunnel', 'LoadBalancer']), {
        maxItems: 10,
        uniqueItems: true,
      }),
    ),
    assignmentMode: Type.Optional(
      Type.Enum(['Automatic', 'Manual'], { crd: { default: 'Automatic' } }),
    ),
  },
  { crd: POOL_RULES },
);

export interface IPPool extends Resource {
  readonly kind: 'IPPool';
  readonly spec: Static<typeof IPPoolSpec>;
}

/** The length of a pool's blocks where it does not say. */
export function defaultBlockSize(cidr: string): number {
  return cidr.includes(':') ? 122 : 26;
}

export const ipPoolKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'IPPool',
  plural: 'ippools',
  singular: 'ippool',
  shortNames: [],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: IPPoolSpec,
    status: Type.Optional(ConditionsStatus),
  }),
  columns: [
    { name: 'CIDR', type: 'string', path: '.spec.cidr', priority: 0, description: 'The pool CIDR' },
    {
      name: 'VXLAN',
      type: 'string',
      path: '.spec.vxlanMode',
      priority: 0,
      description: 'The VXLAN mode for this pool',
    },
    {
      name: 'IPIP',
      type: 'string',
      path: '.spec.ipipMode',
      priority: 0,
      description: 'The IPIP mode for this pool',
    },
    {
      name: 'NAT',
      type: 'boolean',
      path: '.spec.natOutgoing',
      priority: 0,
      description: 'Whether outgoing NAT is enabled for this pool',
    },
    {
      name: 'Allocatable',
      type: 'string',
      path: ".status.conditions[?(@.type=='Allocatable')].status",
      priority: 0,
      description: 'Whether or not this pool is available for IP allocations',
    },
    {
      name: 'Age',
      type: 'date',
      path: '.metadata.creationTimestamp',
      priority: 0,
      description: 'The age of the pool',
    },
  ],
  immutableFields: ['spec.cidr', 'spec.blockSize'],
  defaults: (resource) => {
    const pool = resource as IPPool;
    const spec = {
      vxlanMode: 'Never',
      ipipMode: 'Never',
      nodeSelector: 'all()',
      allowedUses: ['Workload', 'Tunnel'],
      assignmentMode: 'Automatic',
      ...pool.spec,
      blockSize: pool.spec.blockSize || defaultBlockSize(pool.spec.cidr),
    };
    // A pool for pods of some namespaces cannot hold tunnel addresses, which belong to none.
    if (pool.spec.allowedUses === undefined && pool.spec.namespaceSelector) {
      spec.allowedUses = ['Workload'];
    }
    return { ...pool, spec } as Resource;
  },
  check: (resource) => {
    const { spec } = resource as IPPool;
    return [...prefixProblems(spec), ...modeProblems(spec), ...useProblems(spec)];
  },
};

type Spec = IPPool['spec'];

function prefixProblems(spec: Spec): Problem[] {
  const { cidr, blockSize = defaultBlockSize(cidr), disabled = false } = spec;
  const prefix = cidr.includes('/') ? parsePrefix(cidr) : undefined;
  if (!prefix) return [fault('spec.cidr', `${quoted(cidr)} is no CIDR; write it like 10.0.0.0/16`)];
  const problems: Problem[] = [];
  const masked = maskPrefix(prefix);
  if (masked.bits !== prefix.bits) {
    const message = `${quoted(cidr)} has host bits set; write ${quoted(formatPrefix(masked))}`;
    problems.push(fault('spec.cidr', message));
  }
  for (const range of LINK_LOCAL) {
    if (range && overlap(range, prefix)) {
      const message = `${quoted(cidr)} overlaps the link-local addresses ${formatPrefix(range)}`;
      problems.push(fault('spec.cidr', message));
    }
  }
  const width = familyBits(prefix.family);
  const least = width - 12;
  if (blockSize < least || blockSize > width) {
    const message = `${blockSize} is out of range: use ${least} to ${width} with IPv${prefix.family}`;
    problems.push(fault('spec.blockSize', message));
  } else if (!disabled && prefix.length > blockSize) {
    const message = `${quoted(cidr)} is smaller than one block of /${blockSize}; use a larger pool`;
    problems.push(fault('spec.cidr', message));
  }
  return problems;
}

function overlap(a: Prefix, b: Prefix): boolean {
  return prefixContains(a, b) || prefixContains(b, a);
}

function modeProblems({ cidr, ipipMode = 'Never', vxlanMode = 'Never' }: Spec): Problem[] {
  const problems: Problem[] = [];
  if (ipipMode !== 'Never' && vxlanMode !== 'Never') {
    problems.push(fault('spec.ipipMode', 'excludes vxlanMode; set one of them to Never'));
  }
  if (ipipMode !== 'Never' && cidr.includes(':')) {
    problems.push(fault('spec.ipipMode', 'IPIP carries no IPv6; use vxlanMode'));
  }
  return problems;
}

function useProblems(spec: Spec): Problem[] {
  const { allowedUses = ['Workload', 'Tunnel'] } = spec;
  const problems: Problem[] = [];
  if (allowedUses.includes('Tunnel') && spec.namespaceSelector) {
    const message = 'excludes the allowed use Tunnel; use allowedUses: [Workload]';
    problems.push(fault('spec.namespaceSelector', message));
  }
  if (!allowedUses.includes('LoadBalancer')) return problems;
  const clashes: [boolean, string, string][] = [
    [allowedUses.length > 1, 'allowedUses', 'LoadBalancer stands alone; use a pool for each'],
    [(spec.ipipMode ?? 'Never') !== 'Never', 'ipipMode', 'must be Never with LoadBalancer'],
    [(spec.vxlanMode ?? 'Never') !== 'Never', 'vxlanMode', 'must be Never with LoadBalancer'],
    [spec.disableBGPExport === true, 'disableBGPExport', 'must be false with LoadBalancer'],
    [spec.nodeSelector !== 'all()', 'nodeSelector', 'must be all() with LoadBalancer'],
  ];
  for (const [clash, field, message] of clashes) {
    if (clash) problems.push(fault(`spec.${field}`, message));
  }
  return problems;
}
