// Finds the kind that a user names: by plural, singular, short name, kind, or one with its group.
import { DERIVED_KINDS, KINDS, kindOf, type KindDefinition } from '#api';
import { closestName } from '#lib';
import { UsageError } from './cli-error.ts';

const CALICO = 'projectcalico.org/v3';

/** calicoctl's words, and what is meant by a word that two groups have (spec 21). */
const ALIASES: Readonly<Record<string, readonly [apiVersion: string, kind: string]>> = {
  np: [CALICO, 'NetworkPolicy'],
  pol: [CALICO, 'NetworkPolicy'],
  pols: [CALICO, 'NetworkPolicy'],
  policy: [CALICO, 'NetworkPolicy'],
  policies: [CALICO, 'NetworkPolicy'],
  networkpolicy: [CALICO, 'NetworkPolicy'],
  networkpolicies: [CALICO, 'NetworkPolicy'],
  netpol: ['networking.k8s.io/v1', 'NetworkPolicy'],
  netpols: ['networking.k8s.io/v1', 'NetworkPolicy'],
  gnps: [CALICO, 'GlobalNetworkPolicy'],
  gns: [CALICO, 'GlobalNetworkSet'],
  gnetset: [CALICO, 'GlobalNetworkSet'],
  gnetsets: [CALICO, 'GlobalNetworkSet'],
  netset: [CALICO, 'NetworkSet'],
  hep: [CALICO, 'HostEndpoint'],
  heps: [CALICO, 'HostEndpoint'],
  ipp: [CALICO, 'IPPool'],
  pool: [CALICO, 'IPPool'],
  pools: [CALICO, 'IPPool'],
  pro: [CALICO, 'Profile'],
  pros: [CALICO, 'Profile'],
  felixconfig: [CALICO, 'FelixConfiguration'],
  felixconfigs: [CALICO, 'FelixConfiguration'],
  workloadendpoint: [CALICO, 'WorkloadEndpoint'],
};

const ALL_KINDS: readonly KindDefinition[] = [...KINDS, ...DERIVED_KINDS];

/** The kind by any of its names, in any letter case; `networkpolicies.networking.k8s.io` names the group too. */
export function lookupKind(text: string): KindDefinition {
  const word = text.toLowerCase();
  const alias = Object.hasOwn(ALIASES, word) ? ALIASES[word] : undefined;
  const meant = alias ? kindOf(...alias) : undefined;
  const found = meant ?? ALL_KINDS.find((kind) => namesOf(kind).includes(word));
  if (found) return found;
  const near = closestName(word, [...Object.keys(ALIASES), ...ALL_KINDS.flatMap(namesOf)]);
  const plurals = [...new Set(ALL_KINDS.map(({ plural }) => plural))].toSorted();
  const hint = near === undefined ? `use one of ${plurals.join(', ')}` : `did you mean ${near}?`;
  throw new UsageError(`Cannot find a kind named ${JSON.stringify(text)}: ${hint}`);
}

function namesOf(kind: KindDefinition): string[] {
  const words = [kind.plural, kind.singular, kind.kind.toLowerCase()];
  const full = words.flatMap((word) => [
    `${word}.${kind.group}`,
    `${word}.${kind.version}.${kind.group}`,
  ]);
  return [...words, ...kind.shortNames, ...(kind.group === '' ? [] : full)];
}

/** `pod/cart`, `networkpolicy.projectcalico.org/default-deny`. */
export function displayName(kind: KindDefinition, name: string): string {
  const group = kind.group === '' ? '' : `.${kind.group}`;
  return `${kind.singular}${group}/${name}`;
}
