// The objects that say which node owns a block: names, labels, states; and IPAMHandle objects.
import { createHash } from 'node:crypto';
import type { BlockAffinity, IPAMHandle } from '#api';
import { parsePrefix } from '#lib';

export type AffinityState = 'pending' | 'confirmed' | 'pendingDeletion';

/** Who may own blocks: a node, or something that is none, such as `load-balancer`. */
export interface AffinityOwner {
  readonly type: 'host' | 'virtual';
  readonly name: string;
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** Kubernetes' bound on the name of an object. */
const MAX_NAME = 253;

/** `host:<node>` or `virtual:<name>`, as a block's `affinity` says it. */
export function affinityText({ type, name }: AffinityOwner): string {
  return `${type}:${name}`;
}

/** The inverse; undefined for a block that nobody owns. */
export function affinityOwner(text: string | null | undefined): AffinityOwner | undefined {
  const match = /^(host|virtual):(.+)$/s.exec(text ?? '');
  const [, type, name] = match ?? [];
  if (name === undefined) return undefined;
  return { type: type === 'virtual' ? 'virtual' : 'host', name };
}

/** `<node>-<prefix with dashes>`; a name that would be too long has the hash of the node's. */
export function affinityName({ type, name }: AffinityOwner, cidr: string): string {
  const block = cidr.replaceAll(/[.:/]/g, '-');
  const owner = type === 'host' ? name : `${type}-${name}`;
  const text = `${owner}-${block}`;
  return text.length < MAX_NAME ? text : `${nameHash(name).toLowerCase()}-${block}`;
}

/** As upstream writes it, with the labels that its clients list by. */
export function newAffinity(
  owner: AffinityOwner,
  cidr: string,
  state: AffinityState,
): BlockAffinity {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'BlockAffinity',
    metadata: {
      name: affinityName(owner, cidr),
      labels: {
        'projectcalico.org/affinity-type': owner.type,
        'projectcalico.org/hostname-hash': nameHash(owner.name),
        'projectcalico.org/ip-version': String(parsePrefix(cidr)?.family ?? 4),
      },
    },
    spec: { state, node: owner.name, type: owner.type, cidr, deleted: false },
  };
}

/** Whose it is; one without a type is of a node (spec 01). */
export function ownerOfAffinity({ spec }: BlockAffinity): AffinityOwner {
  return { type: spec.type === 'virtual' ? 'virtual' : 'host', name: spec.node };
}

/** SHA3-256 in base 32 (RFC 4648) without padding: fits a label whatever the node's name. */
function nameHash(name: string): string {
  let value = 0;
  let bits = 0;
  let text = '';
  for (const byte of createHash('sha3-256').update(name).digest()) {
    value = (value << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += BASE32[(value >> (bits - 5)) & 31] ?? '';
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? text + (BASE32[(value << (5 - bits)) & 31] ?? '') : text;
}

/** The object of a handle: how many addresses it has, by block. Its name is in lower case. */
export function newHandle(handleID: string, block: Readonly<Record<string, number>>): IPAMHandle {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPAMHandle',
    metadata: { name: handleName(handleID) },
    spec: { handleID, block, deleted: false },
  };
}

export function handleName(handleID: string): string {
  return handleID.toLowerCase();
}
