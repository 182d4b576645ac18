// The tables of `calicoctl get`: which columns each of Calico's kinds has, plain and wide (spec 21).
import type { KindDefinition, Resource } from '#api';
import { isObject } from '#lib';
import { UsageError } from './cli-error.ts';
import { valueAt } from './resource-columns.ts';

type Cell = (resource: Resource) => string;

interface CalicoTable {
  readonly plain: readonly string[];
  readonly wide: readonly string[];
  readonly cells: Readonly<Record<string, Cell>>;
}

/** A field as Go's templates print it: nothing for an absent text, and lists with commas. */
function field(path: string, absent = ''): Cell {
  return (resource) => {
    const value = valueAt(resource, path);
    if (value === undefined || value === null || value === '') return absent;
    if (Array.isArray(value)) return value.map(String).join(',');
    return typeof value === 'string' ? value : JSON.stringify(value);
  };
}

const name: Cell = ({ metadata }) => metadata.name;

function table(
  plain: readonly string[],
  more: readonly string[],
  cells: Readonly<Record<string, Cell>> = {},
): CalicoTable {
  return { plain, wide: [...plain, ...more], cells: { NAME: name, ...cells } };
}

const POLICY = table(['NAME', 'TIER'], ['ORDER', 'SELECTOR'], {
  TIER: field('.spec.tier', 'default'),
  ORDER: field('.spec.order', '<nil>'),
  SELECTOR: field('.spec.selector'),
});
const NETS = table(['NAME'], ['NETS'], { NETS: (it) => shortened(field('.spec.nets')(it)) });
const LIST_MAX = 80;

function shortened(list: string): string {
  return list.length > LIST_MAX ? `${list.slice(0, LIST_MAX - 3)}...` : list;
}

function peerNode(resource: Resource): string {
  return field('.spec.node')(resource) || field('.spec.nodeSelector')(resource) || '(global)';
}

function workload(resource: Resource): string {
  return field('.spec.workload')(resource) || field('.spec.pod')(resource);
}

const TABLES: Readonly<Record<string, CalicoTable>> = {
  BGPConfiguration: table(['NAME', 'LOGSEVERITY', 'MESHENABLED', 'ASNUMBER'], [], {
    LOGSEVERITY: field('.spec.logSeverityScreen'),
    MESHENABLED: field('.spec.nodeToNodeMeshEnabled', '-'),
    ASNUMBER: field('.spec.asNumber', '-'),
  }),
  BGPFilter: table(['NAME'], []),
  BGPPeer: table(['NAME', 'PEERIP', 'NODE', 'ASN'], [], {
    PEERIP: field('.spec.peerIP'),
    NODE: peerNode,
    ASN: field('.spec.asNumber', '0'),
  }),
  BlockAffinity: table(['NAME', 'CIDR', 'NODE'], ['STATE'], {
    CIDR: field('.spec.cidr'),
    NODE: field('.spec.node'),
    STATE: field('.spec.state'),
  }),
  CalicoNodeStatus: table(['NAME', 'NODE'], ['CLASSES'], {
    NODE: field('.spec.node'),
    CLASSES: field('.spec.classes'),
  }),
  ClusterInformation: table(
    ['NAME', 'CLUSTERGUID', 'CLUSTERTYPE', 'CALICOVERSION', 'DATASTOREREADY'],
    [],
    {
      CLUSTERGUID: field('.spec.clusterGUID'),
      CLUSTERTYPE: field('.spec.clusterType'),
      CALICOVERSION: field('.spec.calicoVersion'),
      DATASTOREREADY: field('.spec.datastoreReady', '<nil>'),
    },
  ),
  FelixConfiguration: table(['NAME'], []),
  GlobalNetworkPolicy: POLICY,
  GlobalNetworkSet: NETS,
  HostEndpoint: table(['NAME', 'NODE'], ['INTERFACE', 'IPS', 'PROFILES'], {
    NODE: field('.spec.node'),
    INTERFACE: field('.spec.interfaceName'),
    IPS: field('.spec.expectedIPs'),
    PROFILES: field('.spec.profiles'),
  }),
  IPAMConfiguration: table(['NAME'], []),
  IPPool: {
    plain: ['NAME', 'CIDR', 'SELECTOR'],
    wide: [
      'NAME',
      'CIDR',
      'NAT',
      'IPIPMODE',
      'VXLANMODE',
      'DISABLED',
      'DISABLEBGPEXPORT',
      'SELECTOR',
      'ASSIGNMENTMODE',
    ],
    cells: {
      NAME: name,
      CIDR: field('.spec.cidr'),
      NAT: field('.spec.natOutgoing', 'false'),
      IPIPMODE: field('.spec.ipipMode', 'Never'),
      VXLANMODE: field('.spec.vxlanMode', 'Never'),
      DISABLED: field('.spec.disabled', 'false'),
      DISABLEBGPEXPORT: field('.spec.disableBGPExport', 'false'),
      SELECTOR: field('.spec.nodeSelector', 'all()'),
      ASSIGNMENTMODE: field('.spec.assignmentMode', 'Automatic'),
    },
  },
  IPReservation: table(['NAME'], ['CIDRS'], {
    CIDRS: (it) => shortened(field('.spec.reservedCIDRs')(it)),
  }),
  KubeControllersConfiguration: table(['NAME'], []),
  NetworkPolicy: POLICY,
  NetworkSet: NETS,
  Node: table(['NAME'], ['ASN', 'IPV4', 'IPV6'], {
    ASN: field('.spec.bgp.asNumber', '(64512)'),
    IPV4: field('.spec.bgp.ipv4Address'),
    IPV6: field('.spec.bgp.ipv6Address'),
  }),
  Profile: table(['NAME'], ['LABELS'], {
    LABELS: ({ spec }: Resource & { spec?: unknown }) =>
      Object.entries(isObject(spec) && isObject(spec['labelsToApply']) ? spec['labelsToApply'] : {})
        .map(([key, value]) => `${key}=${String(value)}`)
        .join(','),
  }),
  StagedGlobalNetworkPolicy: POLICY,
  StagedKubernetesNetworkPolicy: table(['NAME'], ['SELECTOR'], {
    SELECTOR: field('.spec.podSelector'),
  }),
  StagedNetworkPolicy: POLICY,
  Tier: table(['NAME', 'ORDER'], [], { ORDER: field('.spec.order', '<nil>') }),
  WorkloadEndpoint: {
    plain: ['WORKLOAD', 'NODE', 'NETWORKS', 'INTERFACE'],
    wide: ['NAME', 'WORKLOAD', 'NODE', 'NETWORKS', 'INTERFACE', 'PROFILES', 'NATS'],
    cells: {
      NAME: name,
      WORKLOAD: workload,
      NODE: field('.spec.node'),
      NETWORKS: field('.spec.ipNetworks'),
      INTERFACE: field('.spec.interfaceName'),
      PROFILES: field('.spec.profiles'),
      NATS: field('.spec.ipNATs'),
    },
  },
};

/** Whether calicoctl has a table for this kind. */
export function hasCalicoTable(kind: KindDefinition): boolean {
  return kind.group === 'projectcalico.org' && Object.hasOwn(TABLES, kind.kind);
}

export interface CalicoTableOptions {
  readonly wide: boolean;
  readonly withNamespace: boolean;
  /** In place of the kind's own columns, in any letter case. */
  readonly columns?: readonly string[];
}

const GAP = 3;

function shapeOf({ kind }: KindDefinition): CalicoTable {
  return TABLES[kind] ?? table(['NAME'], []);
}

function cellsOf(kind: KindDefinition): Readonly<Record<string, Cell>> {
  return { ...shapeOf(kind).cells, NAMESPACE: ({ metadata }) => metadata.namespace ?? '' };
}

/** Throws UsageError for columns, in any letter case, that the kind does not have. */
export function checkCalicoColumns(kind: KindDefinition, columns: readonly string[]): void {
  const known = Object.keys(cellsOf(kind));
  const unknown = columns.map((it) => it.toUpperCase()).filter((it) => !known.includes(it));
  if (unknown.length === 0) return;
  throw new UsageError(
    `Cannot print the columns ${unknown.join(', ')} of ${kind.plural}: there are ${known.join(', ')}`,
  );
}

/** Every cell is padded, the last too, as calicoctl prints it. Throws UsageError for an unknown column. */
export function formatCalicoTable(
  kind: KindDefinition,
  resources: readonly Resource[],
  options: CalicoTableOptions,
): string {
  const shape = shapeOf(kind);
  const cells = cellsOf(kind);
  const own = options.wide ? shape.wide : shape.plain;
  const headings = [
    ...(options.withNamespace ? ['NAMESPACE'] : []),
    ...(options.columns?.map((it) => it.toUpperCase()) ?? own),
  ];
  checkCalicoColumns(kind, headings);
  const rows = resources.map((it) => headings.map((heading) => cells[heading]?.(it) ?? ''));
  const all = [headings, ...rows];
  const widths = headings.map((_, index) =>
    Math.max(...all.map((row) => row[index]?.length ?? 0), 0),
  );
  return all
    .map((row) => row.map((cell, index) => cell.padEnd((widths[index] ?? 0) + GAP)).join(''))
    .map((line) => `${line}\n`)
    .join('');
}
