// The report of a check, in calicoctl's form: every allocation, whether it is in use, and by whom.
import { isObject } from '#lib';
import { affinityOwner } from './affinity.ts';
import { entriesOf, handleCounts, WINDOWS_HANDLE } from './block.ts';
import type { AddressRelease } from './plan.ts';
import type { ClusterReading } from './read-cluster.ts';

export interface ReportedAllocation {
  readonly ip: string;
  readonly handle?: string;
  readonly sequenceNumber?: number;
  readonly pod?: string;
  readonly namespace?: string;
  readonly node?: string;
  readonly type?: string;
  readonly creationTimestamp?: string;
  readonly inUse: boolean;
  readonly borrowed?: boolean;
  readonly owners: readonly string[] | null;
}

export interface ReportedHandle {
  readonly ID: string;
  readonly UID: string | null;
  readonly Revision: string;
}

/** What `calicoctl ipam check -o` writes and `calicoctl ipam release --from-report` reads. */
export interface CheckReport {
  readonly version: string;
  readonly clusterGUID: string;
  readonly datastoreLocked: boolean;
  readonly clusterInformationRevision: string;
  readonly clusterType: string;
  readonly allocations: Readonly<Record<string, readonly ReportedAllocation[]>>;
  readonly leakedHandles?: readonly ReportedHandle[];
}

export function reportOf(reading: ClusterReading, version: string): CheckReport {
  const { information } = reading;
  const users = new Map<string, string[]>();
  for (const { address, who } of reading.uses) {
    users.set(address, [...(users.get(address) ?? []), who]);
  }
  const allocations: Record<string, ReportedAllocation[]> = {};
  for (const block of reading.blocks) {
    const owner = affinityOwner(block.spec.affinity);
    for (const entry of entriesOf(block)) {
      const { attributes, handle } = entry;
      const isWindows = handle === WINDOWS_HANDLE;
      const owners = isWindows ? ['Reserved for Windows'] : (users.get(entry.address) ?? []);
      const host = owner?.type === 'host' ? owner.name : '';
      const node = attributes['node'] ?? host;
      const allocation: ReportedAllocation = {
        ip: entry.address,
        ...text('handle', isWindows ? undefined : handle),
        sequenceNumber: entry.sequence ?? 0,
        ...text('pod', attributes['pod']),
        ...text('namespace', attributes['namespace']),
        ...text('node', node),
        ...text('type', attributes['type']),
        ...text('creationTimestamp', attributes['timestamp']),
        inUse: owners.length > 0,
        ...(node === host ? {} : { borrowed: true }),
        owners: owners.length > 0 ? owners : null,
      };
      allocations[entry.address] = [...(allocations[entry.address] ?? []), allocation];
    }
  }
  const leakedHandles = unmatchedHandles(reading);
  return {
    version,
    clusterGUID: information?.spec.clusterGUID ?? '',
    datastoreLocked: information?.spec.datastoreReady === false,
    clusterInformationRevision: information?.metadata.resourceVersion ?? '',
    clusterType: information?.spec.clusterType ?? '',
    allocations,
    ...(leakedHandles.length > 0 ? { leakedHandles } : {}),
  };
}

function text<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  return value ? ({ [key]: value } as Record<K, string>) : {};
}

/** Handle objects of which no block knows. */
export function unmatchedHandles({ handles, blocks }: ClusterReading): ReportedHandle[] {
  const known = new Set(blocks.flatMap((block) => [...handleCounts(block).keys()]));
  return handles
    .filter(({ spec }) => !known.has(spec.handleID))
    .map(({ metadata, spec }) => ({
      ID: spec.handleID,
      UID: metadata.uid ?? null,
      Revision: metadata.resourceVersion ?? '',
    }));
}

/** Reads a report; undefined for a text that is none. */
export function parseReport(json: string): CheckReport | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!isObject(value) || !isObject(value['allocations'])) return undefined;
  const lists = Object.values(value['allocations']);
  const isRight = lists.every((list) => Array.isArray(list) && list.every(isAllocation));
  const handles = value['leakedHandles'] ?? [];
  if (!isRight || !Array.isArray(handles) || !handles.every(isHandle)) return undefined;
  const fields = ['version', 'clusterGUID', 'clusterInformationRevision'];
  return fields.every((name) => typeof value[name] === 'string')
    ? (value as unknown as CheckReport)
    : undefined;
}

function isAllocation(value: unknown): boolean {
  return isObject(value) && typeof value['ip'] === 'string' && typeof value['inUse'] === 'boolean';
}

function isHandle(value: unknown): boolean {
  return (
    isObject(value) && typeof value['ID'] === 'string' && typeof value['Revision'] === 'string'
  );
}

/** What is leaked by every one of the reports: unchanged addresses, and unchanged handle objects. */
export function commonLeaks(reports: readonly CheckReport[]): {
  readonly addresses: readonly AddressRelease[];
  readonly handles: readonly ReportedHandle[];
} {
  const [first, ...others] = reports.map((report) => ({
    addresses: new Map(
      Object.values(report.allocations)
        .flat()
        .filter(({ inUse }) => !inUse)
        .map((it) => [`${it.ip} ${it.handle ?? ''} ${it.sequenceNumber ?? 0}`, it]),
    ),
    handles: new Map((report.leakedHandles ?? []).map((it) => [`${it.ID} ${it.Revision}`, it])),
  }));
  if (!first) return { addresses: [], handles: [] };
  const addresses = [...first.addresses]
    .filter(([key]) => others.every((other) => other.addresses.has(key)))
    .map(([, { ip, handle, sequenceNumber }]) => ({
      address: ip,
      ...(handle === undefined ? {} : { handle }),
      // 0 is what a block of old says: it remembers none.
      ...(sequenceNumber ? { sequence: sequenceNumber } : {}),
    }));
  const handles = [...first.handles]
    .filter(([key]) => others.every((other) => other.handles.has(key)))
    .map(([, handle]) => handle);
  return { addresses, handles };
}
