// Where the CRDs differ from Calico's on purpose, and why.
import { ENTERPRISE_PARAMETERS } from '#api';

export interface Difference {
  readonly kinds: readonly string[];
  /** `(kind)` is the kind itself. */
  readonly path: RegExp;
  readonly keywords: readonly string[];
  /** Whether Calico's CRD says nothing of the kind there. */
  readonly added: boolean;
  readonly reason: string;
}

const POLICIES = [
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
];

const REFUSED_LATER =
  "Calico's validator refuses other values, its CRD does not; said here, the API server refuses them at once";

export const DIFFERENCES: readonly Difference[] = [
  {
    kinds: ['FelixConfiguration'],
    path: /^spec\.(dropActionOverride|capture(Dir|MaxFiles|MaxSizeBytes|RotationSeconds))$/,
    keywords: ['(field)'],
    added: false,
    reason: 'what is built of Calico Enterprise has its parameters',
  },
  {
    kinds: ['FelixConfiguration'],
    path: new RegExp(`^spec\\.(${ENTERPRISE_PARAMETERS.map(({ field }) => field).join('|')})$`),
    keywords: ['(field)'],
    added: false,
    reason:
      'parameters of Calico Enterprise are taken too, with a warning where they have no effect',
  },
  {
    kinds: ['FelixConfiguration'],
    path: /^spec\.flowLogs(Collect(ProcessInfo|TcpStats)|EnableNetworkSets|File.*)$/,
    keywords: ['(field)'],
    added: false,
    reason:
      'flows tell processes and what TCP measures here too, and go to files, with the parameters of Calico Enterprise',
  },
  {
    kinds: ['NetworkPolicy', 'GlobalNetworkPolicy', 'HostEndpoint'],
    path: /^(\(kind\)$|status)/,
    keywords: ['subresources', '(field)'],
    added: false,
    reason: 'the condition Enforced says whether every node that it concerns has it in force',
  },
  {
    kinds: [
      'NetworkPolicy',
      'GlobalNetworkPolicy',
      'NetworkSet',
      'FelixConfiguration',
      'KubeControllersConfiguration',
    ],
    path: /^\(kind\)$/,
    keywords: ['shortNames'],
    added: false,
    reason:
      "besides those of Calico's CRD there are those of its aggregated API server and calicoctl",
  },
  {
    kinds: ['BGPConfiguration', 'BGPPeer', 'BGPFilter'],
    path: /(asNumber|localASNumber|asPathPrefix\[\]|prependASPath\.prefix\[\])$/,
    keywords: ['type', 'x-kubernetes-int-or-string', 'anyOf', 'pattern', 'format'],
    added: false,
    reason:
      'AS numbers have 32 bits without sign and may be written high.low; ' +
      "Calico's type reads both, its CRD (int32) neither",
  },
  {
    kinds: ['FelixConfiguration'],
    path: /^spec\.\w+$/,
    keywords: ['pattern'],
    added: false,
    reason:
      'a backslash too many in the pattern of durations refuses "1.5s", ' +
      "which the agent reads and Calico's newest parameter allows",
  },
  {
    kinds: ['Tier', 'BGPPeer'],
    path: /^spec\.(defaultAction|reversePeering)$/,
    keywords: ['enum', 'allOf'],
    added: false,
    reason: 'the values are those that both lists of allOf have, said once',
  },
  {
    kinds: ['FelixConfiguration'],
    path: /^spec\./,
    keywords: ['minimum', 'maximum', 'pattern'],
    added: true,
    reason:
      'the agent refuses other values when it reads them, and keeps its default: ' +
      'said here, nobody waits for them to work',
  },
  {
    kinds: ['BGPConfiguration'],
    path: /^spec\.(communities|prefixAdvertisements)\[\]\.\w+$/,
    keywords: ['required', 'minLength', 'minItems'],
    added: true,
    reason: REFUSED_LATER,
  },
  {
    kinds: ['BGPConfiguration', 'BGPFilter', 'HostEndpoint'],
    path: /(ignoredInterfaces\[\]|interface|interfaceName)$/,
    keywords: ['pattern'],
    added: true,
    reason: REFUSED_LATER,
  },
  {
    kinds: ['BGPPeer'],
    path: /^spec\.(numAllowedLocalASNumbers|ttlSecurity)$/,
    keywords: ['minimum', 'maximum'],
    added: true,
    reason: REFUSED_LATER,
  },
  {
    kinds: ['CalicoNodeStatus'],
    path: /^spec\.\w+$/,
    keywords: ['required', 'minLength', 'minimum', 'maximum'],
    added: true,
    reason: REFUSED_LATER,
  },
  {
    kinds: ['HostEndpoint'],
    path: /^spec\.ports\[\]\.name$/,
    keywords: ['minLength'],
    added: true,
    reason: REFUSED_LATER,
  },
  {
    kinds: POLICIES,
    path: /^spec\.(tier|(in|e)gress\[\]\.http\.paths\[\]\.(exact|prefix))$/,
    keywords: ['pattern'],
    added: true,
    reason: REFUSED_LATER,
  },
  {
    kinds: ['StagedKubernetesNetworkPolicy'],
    path: /(matchExpressions\[\]\.operator|policyTypes\[\])$/,
    keywords: ['enum'],
    added: true,
    reason: 'Kubernetes refuses other values in the enforced policy that this one stands for',
  },
  {
    kinds: ['KubeControllersConfiguration'],
    path: /createDefaultHostEndpoint$/,
    keywords: ['enum'],
    added: true,
    reason: REFUSED_LATER,
  },
];
