// What a CNI request says of its pod, and the names that follow from it.
import type { Pod } from '#api';
import { parseAddress, sha1Hex } from '#lib';
import type { CniRequest } from './protocol.ts';

const PREFIX = 'cni.projectcalico.org';

/** Annotations that the plugin writes. */
export const ANNOTATION = {
  podIP: `${PREFIX}/podIP`,
  podIPs: `${PREFIX}/podIPs`,
  containerID: `${PREFIX}/containerID`,
} as const;

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

/** The form of handle that plugins of old gave: DEL frees what is held under it too (spec 05). */
export function workloadHandleOf(pod: PodKey): string {
  return `${pod.namespace}.${pod.name}`;
}

/** The host's end of a pod's interface (spec 06). */
export function hostInterfaceName(pod: PodKey): string {
  return `cali${sha1Hex(`${pod.namespace}.${pod.name}`).slice(0, 11)}`;
}

/** `10.65.0.1` as `10.65.0.1/32`, IPv6 as /128. */
export function hostPrefixText(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
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
