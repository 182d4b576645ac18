// Blocks, handles, affinities and settings of address management as Calico keeps them in etcd (spec 01, 05).
import { formatPrefix, isObject, type Prefix, parsePrefix } from '#lib';
import type { StoredObject } from '../store.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * How a kind is kept. These values have no metadata of their own in Calico; ours is one more field,
 * which other readers skip.
 */
export interface IpamForm {
  /** The etcd key; undefined where the object does not say it. */
  readonly pathOf: (value: StoredObject) => string | undefined;
  /** The object's name by its etcd key; undefined for keys of others. */
  readonly nameOf: (path: string) => string | undefined;
  readonly encode: (value: StoredObject) => JsonObject;
  readonly decode: (path: string, name: string, raw: JsonObject) => StoredObject;
}

const BLOCK = /^\/calico\/ipam\/v2\/assignment\/ipv[46]\/block\/(?<cidr>[^/]+)$/;
const AFFINITY =
  /^\/calico\/ipam\/v2\/(?<type>host|virtual)\/(?<node>[^/]+)\/ipv[46]\/block\/(?<cidr>[^/]+)$/;
const HANDLE = /^\/calico\/ipam\/v2\/handle\/(?<id>[^/]+)$/;
const CONFIG = '/calico/ipam/v2/config';

const block: IpamForm = {
  pathOf: (value) => {
    const prefix = prefixOf(specOf(value)['cidr']);
    return prefix && `/calico/ipam/v2/assignment/ipv${prefix.family}/block/${segmentOf(prefix)}`;
  },
  nameOf: (path) => nameOfSegment(BLOCK.exec(path)?.groups?.['cidr']),
  encode: (value) => ({
    affinity: null,
    sequenceNumber: 0,
    sequenceNumberForAllocation: {},
    deleted: false,
    ...specOf(value),
    metadata: value['metadata'],
  }),
  decode: (_path, name, { metadata, hostAffinity, ...raw }) => {
    const { affinity, allocations, unallocated, attributes } = raw;
    const legacy = typeof hostAffinity === 'string' ? `host:${hostAffinity}` : null;
    const spec = {
      ...raw,
      affinity: affinity ?? legacy,
      // Go writes an empty list as null.
      allocations: allocations ?? [],
      unallocated: unallocated ?? [],
      attributes: attributes ?? [],
      sequenceNumberForAllocation: raw['sequenceNumberForAllocation'] ?? {},
    };
    return objectOf('IPAMBlock', { name, metadata }, spec);
  },
};

const handle: IpamForm = {
  pathOf: (value) => {
    const id = specOf(value)['handleID'];
    const isSegment = typeof id === 'string' && /^[^/]+$/.test(id);
    return isSegment ? `/calico/ipam/v2/handle/${id}` : undefined;
  },
  nameOf: (path) => HANDLE.exec(path)?.groups?.['id']?.toLowerCase(),
  encode: (value) => {
    const { handleID: _, ...spec } = specOf(value);
    return { block: {}, deleted: false, ...spec, metadata: value['metadata'] };
  },
  decode: (path, name, { metadata, ...raw }) => {
    const handleID = HANDLE.exec(path)?.groups?.['id'] ?? name;
    const spec = { ...raw, handleID, block: raw['block'] ?? {} };
    return objectOf('IPAMHandle', { name, metadata }, spec);
  },
};

const affinity: IpamForm = {
  pathOf: (value) => {
    const { node, cidr, type } = specOf(value);
    const prefix = prefixOf(cidr);
    const isVirtual = type === 'virtual';
    const isKnown = isVirtual || type === undefined || type === '' || type === 'host';
    if (!prefix || !isKnown || typeof node !== 'string' || !/^[^/]+$/.test(node)) return undefined;
    const place = `${isVirtual ? 'virtual' : 'host'}/${node}/ipv${prefix.family}`;
    return `/calico/ipam/v2/${place}/block/${segmentOf(prefix)}`;
  },
  nameOf: (path) => {
    const { type, node, cidr } = AFFINITY.exec(path)?.groups ?? {};
    const name = nameOfSegment(cidr);
    if (name === undefined) return undefined;
    return type === 'virtual' ? `virtual-${node}-${name}` : `${node}-${name}`;
  },
  encode: (value) => {
    const { node: _, cidr: __, type: ___, ...spec } = specOf(value);
    return { deleted: false, ...spec, metadata: value['metadata'] };
  },
  decode: (path, name, { metadata, ...raw }) => {
    const { type, node, cidr = '' } = AFFINITY.exec(path)?.groups ?? {};
    const spec = { ...raw, node, type, cidr: cidr.replace('-', '/') };
    return objectOf('BlockAffinity', { name, metadata }, spec);
  },
};

const configuration: IpamForm = {
  pathOf: () => CONFIG,
  nameOf: (path) => (path === CONFIG ? 'default' : undefined),
  encode: (value) => {
    const { strictAffinity, autoAllocateBlocks, ...spec } = specOf(value);
    return {
      strict_affinity: strictAffinity,
      auto_allocate_blocks: autoAllocateBlocks,
      ...spec,
      metadata: value['metadata'],
    };
  },
  decode: (_path, name, { metadata, ...raw }) => {
    const { strict_affinity: strict, auto_allocate_blocks: auto, ...rest } = raw;
    // Go leaves false out.
    const spec = { ...rest, strictAffinity: strict ?? false, autoAllocateBlocks: auto ?? false };
    return objectOf('IPAMConfiguration', { name, metadata }, spec);
  },
};

/** By the kind of their store keys. */
export const IPAM_FORMS: ReadonlyMap<string, IpamForm> = new Map([
  ['ipamblocks.projectcalico.org', block],
  ['ipamhandles.projectcalico.org', handle],
  ['blockaffinities.projectcalico.org', affinity],
  ['ipamconfigurations.projectcalico.org', configuration],
]);

function specOf(value: StoredObject): JsonObject {
  return isObject(value['spec']) ? value['spec'] : {};
}

function objectOf(
  kind: string,
  { name, metadata }: { readonly name: string; readonly metadata: unknown },
  spec: JsonObject,
): StoredObject {
  const known = isObject(metadata) ? metadata : {};
  return { apiVersion: 'projectcalico.org/v3', kind, metadata: { ...known, name }, spec };
}

function prefixOf(cidr: unknown): Prefix | undefined {
  return typeof cidr === 'string' ? parsePrefix(cidr) : undefined;
}

/** `10.0.0.0-26`. */
function segmentOf(prefix: Prefix): string {
  return formatPrefix(prefix).replace('/', '-');
}

/** `10-0-0-0-26` for `10.0.0.0-26`; undefined for what is no prefix. */
function nameOfSegment(segment: string | undefined): string | undefined {
  const prefix = segment === undefined ? undefined : parsePrefix(segment.replace('-', '/'));
  return prefix && formatPrefix(prefix).replaceAll(/[.:/]/g, '-');
}
