// The addresses of the Nodes that a label selector matches.
import { compareCodePoints, formatPrefix, hostPrefix, parseAddress } from '#lib';
import { parseSelector } from '#selector';
import type { Problem } from '../kind.ts';
import type { KubernetesNode } from '../kubernetes.ts';
import type { LabelSelector } from '../kubernetes-network-policy.ts';
import { namespaceSelectorText } from './label-selector.ts';

const ADDRESS_TYPES: readonly string[] = ['InternalIP', 'ExternalIP'];

/** Host prefixes of the InternalIPs and ExternalIPs, sorted, each once; `path` is for the problems. */
export function nodeAddresses(
  selector: LabelSelector,
  nodes: readonly KubernetesNode[],
  path: string,
): { nets: readonly string[]; problems: readonly Problem[] } {
  const { text, problems } = namespaceSelectorText(selector, path);
  if (problems.length > 0) return { nets: [], problems };
  const selects = parseSelector(text);
  const nets = nodes
    .filter(({ metadata }) => selects.evaluate(metadata.labels ?? {}))
    .flatMap(({ status }) => status?.addresses ?? [])
    .filter(({ type }) => ADDRESS_TYPES.includes(type))
    .flatMap(({ address }) => parseAddress(address) ?? [])
    .map((address) => formatPrefix(hostPrefix(address)));
  return { nets: [...new Set(nets)].sort(compareCodePoints), problems };
}
