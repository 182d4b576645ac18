// What to change so that a denied half would allow: the nearest rule, and the rule to add.
import { formatAddress, hostPrefix, formatPrefix } from '#lib';
import { type Direction, formatPolicyRef, type Half, type PolicyRef } from './explanation.ts';
import type { Trace } from './evaluate.ts';
import { isIcmp, protocolName } from './packet.ts';
import { type Place, placeName } from './party.ts';
import { failedText, type NearMiss, type TraceStep } from './tier-walk.ts';

interface Candidate {
  readonly policy: PolicyRef;
  readonly miss: NearMiss;
}

/** Lines for people; empty where the half allows. */
export function suggestChange(trace: Trace, direction: Direction): string[] {
  const half = trace[direction];
  if (half.verdict === 'allow') return [];
  const steps = trace.steps.filter((step) => step.direction === direction);
  const deciding = steps.at(-1);
  if (!deciding) return [];
  if (half.tier === null) return [`${deciding.reason}.`];
  const inTier = steps.filter((step) => step.tier === half.tier);
  const nearest = nearestAllow(inTier) ?? nearestAllow(steps);
  const lines = [];
  if (nearest) {
    const { policy, miss } = nearest;
    const rule = `rule ${miss.rule.index} of ${formatPolicyRef(policy)}`;
    lines.push(
      `The nearest rule that allows is ${rule}; it would match but for this: ${failedText(miss.failed)}.`,
    );
  }
  const home = nearestAllow(inTier)?.policy ?? inTier.findLast(isPassedOver)?.policy;
  return [...lines, ...addRule(trace, direction, half, home ?? undefined)];
}

/** The policy applied and did not decide: a rule at its end would. */
function isPassedOver(step: TraceStep): boolean {
  return step.outcome === 'no-match';
}

/** Of the Allow rules passed over, the one with the fewest conditions that failed; the first of equals. */
function nearestAllow(steps: readonly TraceStep[]): Candidate | undefined {
  const candidates = steps.flatMap(({ policy, nearMisses }) =>
    nearMisses.flatMap((miss) =>
      policy && miss.rule.action === 'Allow' ? [{ policy, miss }] : [],
    ),
  );
  return candidates.reduce<Candidate | undefined>(
    (best, it) => (best && best.miss.failed.length <= it.miss.failed.length ? best : it),
    undefined,
  );
}

function addRule(
  trace: Trace,
  direction: Direction,
  half: Half,
  home: PolicyRef | undefined,
): string[] {
  const { through } = trace;
  const endpoint = through
    ? `the host endpoint of ${through[direction === 'egress' ? 'out' : 'in']} at ${through.node}`
    : placeName(direction === 'egress' ? trace.source : trace.destination);
  if (half.policy) {
    const before = `${formatPolicyRef(half.policy)} before its rule ${half.rule}`;
    const where = `Add this ${direction} rule to ${before}, or to a policy that comes earlier in tier ${half.tier}:`;
    return [where, ...ruleText(trace, direction, half.policy)];
  }
  const where = home
    ? `Add this ${direction} rule to ${formatPolicyRef(home)}:`
    : `Add this ${direction} rule to a policy of tier ${half.tier} that selects ${endpoint}:`;
  return [where, ...ruleText(trace, direction, home)];
}

/** The rule as YAML, in the language of the policy's kind; Calico's where there is none. */
function ruleText(trace: Trace, direction: Direction, policy: PolicyRef | undefined): string[] {
  const { traffic } = trace;
  const peer = direction === 'ingress' ? trace.source : trace.destination;
  const port = isIcmp(traffic.protocol) ? undefined : traffic.destination.port;
  const namespace = policy?.namespace ?? undefined;
  if (policy?.kind === 'KubernetesNetworkPolicy') {
    const list = direction === 'egress' ? 'to' : 'from';
    const ports =
      port === undefined
        ? []
        : ['  ports:', `  - {protocol: ${protocolName(traffic.protocol)}, port: ${port}}`];
    return [`- ${list}:`, ...kubernetesPeer(peer, trace, namespace, direction), ...ports];
  }
  if (policy?.kind === 'ClusterNetworkPolicy') return clusterRule(trace, direction, peer);
  const protocol = protocolText(traffic.protocol);
  const peerSide = direction === 'ingress' ? 'source' : 'destination';
  const ports = port === undefined ? [] : [`    ports: [${port}]`];
  const peerLines = calicoPeer(peer, trace, namespace, direction);
  const lines = ['- action: Allow', `  protocol: ${protocol}`, `  ${peerSide}:`, ...peerLines];
  if (peerSide === 'destination') return [...lines, ...ports];
  return ports.length === 0 ? lines : [...lines, '  destination:', ...ports];
}

/** Pods of either direction, networks for egress only: what a ClusterNetworkPolicy has words for. */
function clusterRule(trace: Trace, direction: Direction, peer: Place): string[] {
  const { protocol, destination } = trace.traffic;
  if (peer.type !== 'workload' && direction === 'ingress') {
    return ['# none: an ingress rule of a ClusterNetworkPolicy has no words for addresses'];
  }
  const list = direction === 'egress' ? 'to' : 'from';
  const peers =
    peer.type === 'workload'
      ? ['  - pods:', ...kubernetesPods(peer).map((line) => `      ${line}`)]
      : [`  - networks: [${peerAddress(trace, direction)}]`];
  const transport = `{destinationPort: {number: ${destination.port ?? 0}}}`;
  const ports =
    destination.port === undefined
      ? []
      : [`  protocols: [{${protocolName(protocol).toLowerCase()}: ${transport}}]`];
  return ['- action: Accept', `  ${list}:`, ...peers, ...ports];
}

function protocolText(protocol: number): string {
  const name = protocolName(protocol);
  return name.startsWith('protocol ') || protocol === 4 ? String(protocol) : name;
}

function peerAddress(trace: Trace, direction: Direction): string {
  const end = direction === 'ingress' ? trace.traffic.source : trace.traffic.destination;
  return formatPrefix(hostPrefix(end.address));
}

function calicoPeer(
  peer: Place,
  trace: Trace,
  namespace: string | undefined,
  direction: Direction,
): string[] {
  if (peer.type !== 'workload') return [`    nets: [${peerAddress(trace, direction)}]`];
  const { workload } = peer;
  const terms = Object.entries(ownLabels(peer)).map(([key, value]) => `${key} == '${value}'`);
  const selector = `    selector: ${terms.length === 0 ? 'all()' : terms.join(' && ')}`;
  if (workload.namespace === namespace) return [selector];
  return [selector, `    namespaceSelector: projectcalico.org/name == '${workload.namespace}'`];
}

function kubernetesPeer(
  peer: Place,
  trace: Trace,
  namespace: string | undefined,
  direction: Direction,
): string[] {
  if (peer.type !== 'workload') return [`  - ipBlock: {cidr: ${peerAddress(trace, direction)}}`];
  const [namespaces, pods] = kubernetesPods(peer);
  if (peer.workload.namespace === namespace) return [`  - ${pods}`];
  return [`  - ${namespaces}`, `    ${pods}`];
}

/** The pod's namespace and labels as Kubernetes selectors. */
function kubernetesPods(peer: Extract<Place, { type: 'workload' }>): [string, string] {
  const name = `{matchLabels: {kubernetes.io/metadata.name: ${quoted(peer.workload.namespace)}}}`;
  const labels = Object.entries(ownLabels(peer)).map(([key, value]) => `${key}: ${quoted(value)}`);
  const pods = labels.length === 0 ? '{}' : `{matchLabels: {${labels.join(', ')}}}`;
  return [`namespaceSelector: ${name}`, `podSelector: ${pods}`];
}

/** YAML reads bare words such as `true` and `1` as something else than text. */
function quoted(value: string): string {
  return /^[a-z][a-z0-9-]*$/i.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value)
    ? value
    : JSON.stringify(value);
}

const TELLING = ['app', 'app.kubernetes.io/name', 'k8s-app', 'run', 'role', 'name'];

/** The one label that names the pod's application where there is such a one, else all of its own. */
function ownLabels(peer: Extract<Place, { type: 'workload' }>): Record<string, string> {
  const own = Object.entries(peer.workload.labels).filter(
    ([key]) => !/^(pcns\.|pcsa\.|projectcalico\.org\/)/.test(key),
  );
  const telling = TELLING.flatMap((key) => own.filter(([name]) => name === key)).slice(0, 1);
  return Object.fromEntries(telling.length > 0 ? telling : own);
}

/** `IPv4 10.65.0.1 stands in` where an address is not known yet. */
export function assumptions(trace: Trace): string[] {
  return [
    { place: trace.source, end: trace.traffic.source },
    { place: trace.destination, end: trace.traffic.destination },
  ].flatMap(({ place, end }) => {
    const assumed =
      (place.type === 'workload' && place.workload.assumed) ||
      (place.type === 'host' && place.host.assumed);
    if (!assumed) return [];
    const standIn = `${placeName(place)} has no address yet: ${formatAddress(end.address)} stands in`;
    return [`${standIn}, so rules about networks may judge it otherwise later.`];
  });
}
