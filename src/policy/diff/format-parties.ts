// One side of a group of flows as text, with whole namespaces and what is everybody said in a word.
import type { FlowParties, PolicyDiff } from './policy-diff.ts';

const SHOWN = 4;
const EVERY_ADDRESS = new Map([
  ['0.0.0.0/0', 'any outside IPv4 address'],
  ['::/0', 'any outside IPv6 address'],
]);

/** `shop/web, data/* and node:one`. */
export function partiesText(side: FlowParties, all: PolicyDiff['parties']): string {
  const outside = side.outside.map((it) => EVERY_ADDRESS.get(it) ?? it);
  const parts = [
    ...bounded(podTexts(side.pods, all.podsByNamespace)),
    ...bounded(nodeTexts(side.nodes, all.nodes)),
    ...bounded(side.byAddress),
    ...bounded(outside),
  ];
  return parts.join(', ');
}

function bounded(texts: readonly string[]): string[] {
  if (texts.length <= SHOWN + 1) return [...texts];
  return [...texts.slice(0, SHOWN), `${texts.length - SHOWN} more`];
}

function podTexts(pods: readonly string[], counts: Readonly<Record<string, number>>): string[] {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (pods.length === total && total > 1) return ['all pods'];
  const byNamespace = new Map<string, string[]>();
  for (const pod of pods) {
    const namespace = pod.slice(0, pod.indexOf('/'));
    const list = byNamespace.get(namespace);
    if (list) list.push(pod);
    else byNamespace.set(namespace, [pod]);
  }
  return [...byNamespace].flatMap(([namespace, list]) =>
    list.length > 1 && list.length === counts[namespace] ? [`${namespace}/*`] : list,
  );
}

function nodeTexts(nodes: readonly string[], total: number): string[] {
  if (nodes.length === total && total > 1) return ['all nodes'];
  return nodes.map((name) => `node:${name}`);
}
