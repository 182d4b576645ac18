// What a CNI request says of its pod, and what the pod's annotations say of its network.
import type { Pod } from '#api';
import { type Family, parseAddress, sha1Hex } from '#lib';
import type { AssignRequest, NamedPools } from '#ipam';
import { CniError } from './cni-error.ts';
import { CNI_CODE, type CniRequest } from './protocol.ts';

const PREFIX = 'cni.projectcalico.org';

/** Annotations that the plugin writes. */
export const ANNOTATION = {
  podIP: `${PREFIX}/podIP`,
  podIPs: `${PREFIX}/podIPs`,
  containerID: `${PREFIX}/containerID`,
} as const;

/** Wishes that would be broken silently if they were not refused. */
const UNSUPPORTED = [`${PREFIX}/ipAddrs`, `${PREFIX}/ipAddrsNoIpam`, `${PREFIX}/networks`];

export interface PodKey {
  readonly namespace: string;
  readonly name: string;
}

/** The pod that CNI_ARGS names; undefined when they name none. */
export function podKeyOf(args: CniRequest['args']): PodKey | undefined {
  const { K8S_POD_NAMESPACE: namespace = '', K8S_POD_NAME: name = '' } = args;
  return namespace === '' || name === '' ? undefined : { namespace, name };
}

/** The IPAM handle of a container: `<network>.<containerID>` (spec 05). */
export function handleOf(request: Pick<CniRequest, 'network' | 'containerId'>): string {
  return `${request.network}.${request.containerId}`;
}

/** The host's end of a pod's interface (spec 06). */
export function hostInterfaceName(pod: PodKey): string {
  return `cali${sha1Hex(`${pod.namespace}.${pod.name}`).slice(0, 11)}`;
}

/** `10.65.0.1` as `10.65.0.1/32`, IPv6 as /128. */
export function hostPrefixText(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}

export interface NetworkWishes extends Pick<AssignRequest, 'families' | 'pools'> {
  readonly mac: string | undefined;
}

/** Reads the annotations; one that cannot be read or obeyed is a CniError. */
export function wishesOf(pod: Pod): NetworkWishes {
  const annotations = pod.metadata.annotations ?? {};
  const refused = UNSUPPORTED.filter((key) => annotations[key] !== undefined);
  if (refused.length > 0) {
    const text = `annotation ${refused.join(', ')} is not supported; remove it from the pod`;
    throw new CniError(CNI_CODE.unsupportedField, text);
  }
  const v4 = listIn(annotations, `${PREFIX}/ipv4pools`);
  const v6 = listIn(annotations, `${PREFIX}/ipv6pools`);
  const pools: NamedPools = { ...(v4 ? { 4: v4 } : {}), ...(v6 ? { 6: v6 } : {}) };
  const families = listIn(annotations, `${PREFIX}/ipFamilies`)?.map(familyNamed);
  return {
    ...(families ? { families } : {}),
    ...(v4 || v6 ? { pools } : {}),
    mac: annotations[`${PREFIX}/hwAddr`],
  };
}

function listIn(
  annotations: Readonly<Record<string, string>>,
  key: string,
): readonly string[] | undefined {
  const text = annotations[key];
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (
      Array.isArray(value) &&
      value.length > 0 &&
      value.every((item) => typeof item === 'string')
    ) {
      return value;
    }
  } catch {
    // Falls through to the one message for both.
  }
  const problem = `annotation ${key}: ${JSON.stringify(text)} is not a JSON list of strings`;
  throw new CniError(CNI_CODE.unsupportedField, problem);
}

function familyNamed(name: string): Family {
  if (name === 'IPv4') return 4;
  if (name === 'IPv6') return 6;
  const problem = `annotation ${PREFIX}/ipFamilies: "${name}" is not "IPv4" or "IPv6"`;
  throw new CniError(CNI_CODE.unsupportedField, problem);
}

/** Whether the status names other addresses: those of an earlier sandbox, which would be enforced. */
export function hasStaleStatus(pod: Pod, addresses: readonly string[]): boolean {
  const { podIP, podIPs = [] } = pod.status ?? {};
  const shown = new Set([podIP, ...podIPs.map(({ ip }) => ip)].map(canonical));
  const own = new Set(addresses.map(canonical));
  return [...shown].some((address) => address !== undefined && !own.has(address));
}

function canonical(text: string | undefined): string | undefined {
  const address = parseAddress(text ?? '');
  return address && `${address.family} ${address.bits}`;
}
