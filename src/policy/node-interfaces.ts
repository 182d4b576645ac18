// The interfaces of nodes, as far as their resources tell: which addresses are on which.
import { type Address, isObject, parseAddress, parsePrefix, prefixContains } from '#lib';
import { addressKey } from './world-objects.ts';
import type { WorldProblem } from './world-problem.ts';
import type { ResourcesByKind } from './world-resources.ts';

/** With at least one address. */
export interface HostInterface {
  readonly name: string;
  readonly addresses: readonly Address[];
}

type Report = (problem: WorldProblem) => void;

/** Where Calico's node agent writes the interfaces of a Kubernetes node: a JSON list of `{name, addresses}`. */
export const INTERFACES_ANNOTATION = 'projectcalico.org/Interfaces';
const EXAMPLE = '[{"name":"eth0","addresses":["192.0.2.1"]}]';

/** Of every node by its name: `spec.interfaces` of Calico's Node, the annotation of Kubernetes' Node, or both. */
export function readInterfaces(
  resources: ResourcesByKind,
  report: Report,
): Map<string, HostInterface[]> {
  const interfaces = new Map<string, HostInterface[]>();
  const add = (node: string, found: readonly HostInterface[]) => {
    interfaces.set(node, [...(interfaces.get(node) ?? []), ...found]);
  };
  for (const { metadata, spec } of resources['projectcalico.org Node']) {
    add(metadata.name, (spec?.interfaces ?? []).flatMap(hostInterface));
  }
  for (const { metadata } of resources['core Node']) {
    const text = metadata.annotations?.[INTERFACES_ANNOTATION];
    if (text === undefined) continue;
    const found = parseAnnotation(text);
    if (found) add(metadata.name, found);
    else {
      report({
        resource: `Node ${metadata.name}`,
        path: `metadata.annotations[${INTERFACES_ANNOTATION}]`,
        message: `${JSON.stringify(text.slice(0, 60))} is no JSON list such as ${EXAMPLE}`,
        fatal: false,
      });
    }
  }
  return interfaces;
}

function parseAnnotation(text: string): HostInterface[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value) || !value.every(isObject)) return undefined;
    return value.flatMap(hostInterface);
  } catch {
    return undefined;
  }
}

/** An interface without a name or without addresses tells nothing. A prefix length after an address is left out. */
function hostInterface({
  name,
  addresses: texts,
}: Readonly<Record<string, unknown>>): HostInterface[] {
  const list: readonly unknown[] = Array.isArray(texts) ? texts : [];
  const addresses = list.flatMap((text) => {
    if (typeof text !== 'string') return [];
    return parseAddress(text.replace(/\/\d+$/, '')) ?? [];
  });
  return typeof name === 'string' && addresses.length > 0 ? [{ name, addresses }] : [];
}

const LOCAL_SCOPES = ['127.0.0.0/8', '169.254.0.0/16', '::1/128', 'fe80::/10'].flatMap(
  (text) => parsePrefix(text) ?? [],
);

/**
 * The addresses on each node's interfaces that are its own: none of the loopback or of a link, and none that
 * another node has too, as bridges of container engines have.
 */
export function ownAddresses(
  interfaces: ReadonlyMap<string, readonly HostInterface[]>,
): Map<string, Address[]> {
  const found = [...interfaces].map(([node, list]) => {
    const all = new Map(list.flatMap((it) => it.addresses).map((it) => [addressKey(it), it]));
    return { node, all };
  });
  const holders = new Map<string, number>();
  for (const key of found.flatMap(({ all }) => [...all.keys()])) {
    holders.set(key, (holders.get(key) ?? 0) + 1);
  }
  const isOwn = (address: Address) =>
    holders.get(addressKey(address)) === 1 &&
    !LOCAL_SCOPES.some((prefix) => prefixContains(prefix, address));
  return new Map(found.map(({ node, all }) => [node, [...all.values()].filter(isOwn)]));
}
