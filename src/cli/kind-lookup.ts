// Finds the kind that a user names: by plural, singular, short name, kind, or one with its group.
import { DERIVED_KINDS, KINDS, kindOf, type KindDefinition } from '#api';
import { closestName } from '#lib';
import { UsageError } from './cli-error.ts';

const CALICO = 'projectcalico.org/v3';

/** calicoctl's words for the kinds of projectcalico.org/v3 (spec 21.1). */
const CALICO_WORDS: Readonly<Record<string, readonly string[]>> = {
  BGPConfiguration: ['bgpconfig', 'bgpconfigs'],
  BGPFilter: ['bgpf', 'bgpfs', 'bf', 'bfs'],
  BGPPeer: ['bgpp', 'bgpps', 'bp', 'bps'],
  BlockAffinity: ['affinity', 'affinities'],
  CalicoNodeStatus: ['nodestatus', 'nodestatuses'],
  ClusterInformation: ['clusterinfo', 'clusterinfos'],
  FelixConfiguration: ['felixconfig', 'felixconfigs'],
  GlobalNetworkPolicy: ['gnp', 'gnps'],
  GlobalNetworkSet: ['gns', 'gnetset', 'gnetsets'],
  HostEndpoint: ['hep', 'heps'],
  IPAMConfiguration: ['ipamconfig', 'ipamconfigs'],
  IPPool: ['ipp', 'ipps', 'pool', 'pools'],
  IPReservation: ['reservation', 'reservations'],
  KubeControllersConfiguration: ['kubecontrollersconfig', 'kubecontrollersconfigs'],
  NetworkPolicy: [
    'np',
    'nps',
    'pol',
    'pols',
    'policy',
    'policies',
    'networkpolicy',
    'networkpolicies',
  ],
  NetworkSet: ['netset', 'netsets'],
  Profile: ['pro', 'pros'],
  StagedGlobalNetworkPolicy: ['sgnp', 'sgnps'],
  StagedKubernetesNetworkPolicy: ['sknp', 'sknps', 'skpol', 'skpols'],
  StagedNetworkPolicy: ['snp', 'snps', 'spol', 'spols'],
  WorkloadEndpoint: ['wep', 'weps', 'workloadendpoint', 'workloadendpoints'],
};

/** What is meant by a word: calicoctl's, else that of the group that kubectl's users mean. */
const ALIASES: Readonly<Record<string, readonly [apiVersion: string, kind: string]>> = {
  netpol: ['networking.k8s.io/v1', 'NetworkPolicy'],
  netpols: ['networking.k8s.io/v1', 'NetworkPolicy'],
  node: ['v1', 'Node'],
  nodes: ['v1', 'Node'],
  no: ['v1', 'Node'],
  nos: ['v1', 'Node'],
  ...Object.fromEntries(
    Object.entries(CALICO_WORDS).flatMap(([kind, words]) =>
      words.map((word) => [word, [CALICO, kind] as const]),
    ),
  ),
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
