// An explanation as text for people: the verdict first, then each half with what was passed over and why.
import type { Direction, Explanation, Ruling, Step } from './explanation.ts';
import { formatPolicyRef } from './explanation.ts';
import { trace, type Trace } from './evaluate.ts';
import { INTERFACES_ANNOTATION } from './node-interfaces.ts';
import { isIcmp, type Packet, protocolName } from './packet.ts';
import { placeHost, placeName } from './party.ts';
import { assumptions, suggestChange } from './suggestion.ts';
import type { World } from './world.ts';

/** Lines without a final newline. `world` and `packet` must be those that the explanation is of. */
export function formatExplanation(explanation: Explanation, packet: Packet, world: World): string {
  const details = trace(world, packet);
  const lines = [
    headline(explanation, details),
    ...doubtLines(explanation),
    ...pendingLines(explanation),
  ];
  for (const direction of ['egress', 'ingress'] as const) {
    lines.push('', ...halfLines(explanation, direction, details));
  }
  const changes = (['egress', 'ingress'] as const).flatMap((direction) => {
    const [first, ...rest] = suggestChange(details, direction);
    return first === undefined
      ? []
      : [`  ${direction}: ${first}`, ...rest.map((it) => `    ${it}`)];
  });
  if (changes.length > 0) lines.push('', 'What to change', ...changes);
  const notes = [
    ...assumptions(details),
    ...overrides(details, world),
    ...world.problems.map(({ resource, path, message }) => `${resource}: ${path}: ${message}`),
  ];
  if (notes.length > 0) lines.push('', 'Note', ...notes.map((it) => `  ${it}`));
  return lines.join('\n');
}

/** Where a denial is no denial. */
function overrides(
  { source, destination, through, egress, ingress }: Trace,
  world: World,
): string[] {
  const denying = [
    ...(egress.verdict === 'deny' ? [through?.node ?? placeHost(source)] : []),
    ...(ingress.verdict === 'deny' ? [through?.node ?? placeHost(destination)] : []),
  ];
  return [...new Set(denying)]
    .filter((node) => world.settingsOf(node).denialsPass)
    .map((node) => {
      const where = node === undefined ? 'everywhere' : `on node ${node}`;
      return `dropActionOverride lets what is denied pass ${where}`;
    });
}

function headline(explanation: Explanation, { traffic }: Trace): string {
  const { source, destination, protocol, icmp } = traffic;
  const what = isIcmp(protocol)
    ? `${protocolName(protocol)} type ${icmp?.type ?? 0} code ${icmp?.code ?? 0}`
    : `${protocolName(protocol)}${destination.port === undefined ? '' : ` port ${destination.port}`}`;
  const verdict = explanation.verdict.toUpperCase();
  return `${verdict}  ${source.name} -> ${destination.name}, ${what}`;
}

/** What staged policies would change, and which halves would say so: those that deny, else those with a tier. */
function pendingLines({ verdict, pending }: Explanation): string[] {
  if (!pending) return [];
  const was = pending.verdict === verdict ? 'as now' : `was ${verdict.toUpperCase()}`;
  const deciding = (['egress', 'ingress'] as const).filter((direction) => {
    const half = pending[direction];
    return pending.verdict === 'deny' ? half.verdict === 'deny' : half.tier !== null;
  });
  const texts = deciding.map((direction) => `${direction} ${decider(pending[direction])}`);
  const by = texts.length === 0 ? 'decided by no policy' : texts.join(' and ');
  return [`If staged policies were enforced: ${pending.verdict.toUpperCase()} (${was}), ${by}`];
}

/** Who may have to be asked in the place of whom. */
function doubtLines(explanation: Explanation): string[] {
  return (['egress', 'ingress'] as const).flatMap((direction) => {
    const { doubt } = explanation[direction];
    if (!doubt) return [];
    const { node, hostEndpoint, otherwise } = doubt;
    const others = otherwise.map((it) => {
      return `${it.hostEndpoint ?? 'none'}: ${it.verdict}, ${decider(it)}`;
    });
    const by = hostEndpoint ?? 'no host endpoint';
    return [
      `Not certain: ${direction} is judged by ${by}, and may be by ${others.join(', or by ')}`,
      `  Node ${node} does not say which interface has which address: ` +
        `set spec.interfaces, or annotation ${INTERFACES_ANNOTATION}`,
    ];
  });
}

function halfLines(explanation: Explanation, direction: Direction, details: Trace): string[] {
  const half = explanation[direction];
  const { source, destination, through } = details;
  const at = through
    ? `${through[direction === 'egress' ? 'out' : 'in']} of node:${through.node}`
    : placeName(direction === 'egress' ? source : destination);
  const steps = explanation.steps.filter((step) => step.direction === direction);
  return [
    `${direction} at ${at}: ${half.verdict}, ${decider(half)}`,
    ...condensed(steps).map((step) => `  ${stepText(step)}`),
  ];
}

function decider({ tier, policy, rule }: Ruling): string {
  if (tier === null) return 'decided by no policy';
  if (policy === null) return `by the default action of tier ${tier}`;
  return `by rule ${rule} of ${formatPolicyRef(policy)} in tier ${tier}`;
}

function stepText(step: Step): string {
  const tier = step.tier === null ? '' : `tier ${step.tier}, `;
  const policy = step.policy === null ? '' : `${formatPolicyRef(step.policy)}, `;
  return `${step.outcome.padEnd(OUTCOME_WIDTH)} ${tier}${policy}${step.reason}`;
}

const OUTCOME_WIDTH = 12;

/** Policies of other namespaces cannot apply: they are counted, not listed. */
function condensed(steps: readonly Step[]): Step[] {
  const shown: Step[] = [];
  let elsewhere: Step[] = [];
  const flush = () => {
    const [first] = elsewhere;
    if (first && elsewhere.length > 1) {
      const reason = `${elsewhere.length} policies of other namespaces`;
      shown.push({ ...first, policy: null, reason });
    } else shown.push(...elsewhere);
    elsewhere = [];
  };
  for (const step of steps) {
    const isElsewhere =
      step.outcome === 'not-selected' && / is not in namespace /.test(step.reason);
    if (isElsewhere && (elsewhere[0]?.tier ?? step.tier) === step.tier) elsewhere.push(step);
    else {
      flush();
      shown.push(step);
    }
  }
  flush();
  return shown;
}
