// A difference as text for people: what opens, what closes, and which rules decided before and after.
import { compareCodePoints } from '#lib';
import { type Direction, formatPolicyRef, type Half } from '../explanation.ts';
import type { WorldProblem } from '../world-problem.ts';
import { partiesText } from './format-parties.ts';
import { trafficText } from './format-traffic.ts';
import type { FlowGroup, PolicyDiff } from './policy-diff.ts';

/** Groups of a section, deciders of a half and lines of a list that are shown; JSON has all. */
const GROUPS_SHOWN = 100;
const DECIDERS_SHOWN = 2;
const LINES_SHOWN = 20;

/** Lines without a final newline. Long lists are cut, with the number of what is left out. */
export function formatDiff(diff: PolicyDiff): string {
  const { opened, closed, endpoints, notCompared, problems } = diff;
  const none = opened.length + closed.length === 0 ? [['No flow opens or closes.']] : [];
  const different = notCompared.map(({ resource, reason }) => `${resource}: ${reason}`);
  return [
    ...none,
    section('Opened', '+', opened, diff),
    section('Closed', '-', closed, diff),
    listing('Added; flows of what is new are not listed', endpoints.added),
    listing('Removed; flows of what is gone are not listed', endpoints.removed),
    listing('Different without an effect on flows', different),
    listing('Malformed and left out, before', problems.before.map(problemText)),
    listing('Malformed and left out, after', problems.after.map(problemText)),
  ]
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

function problemText({ resource, path, message }: WorldProblem): string {
  return `${resource}: ${path}: ${message}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function listing(title: string, texts: readonly string[]): string[] {
  if (texts.length === 0) return [];
  const shown = texts.slice(0, LINES_SHOWN).map((text) => `  ${text}`);
  const rest = texts.length - shown.length;
  return [title, ...shown, ...(rest > 0 ? [`  and ${rest} more`] : [])];
}

function section(
  title: string,
  sign: '+' | '-',
  groups: readonly FlowGroup[],
  diff: PolicyDiff,
): string[] {
  if (groups.length === 0) return [];
  const families = new Set([...diff.opened, ...diff.closed].flatMap((it) => it.families));
  const blocks = groups
    .map((group) => [
      `${sign} ${headline(group, diff, families.size > 1)}`,
      ...reasons(group).map((line) => `    ${line}`),
    ])
    .sort(([a = ''], [b = '']) => compareCodePoints(a, b));
  const rest = groups.length - GROUPS_SHOWN;
  return [
    `${title}: ${counted(groups.length, 'group')} of flows`,
    ...blocks.slice(0, GROUPS_SHOWN).flat(),
    ...(rest > 0 ? [`and ${counted(rest, 'more group')}; JSON has all`] : []),
  ];
}

function headline(group: FlowGroup, { parties }: PolicyDiff, bothFamilies: boolean): string {
  const { from, to, families, traffic, sameNode } = group;
  const [family] = families;
  const only = bothFamilies && families.length === 1 ? `, IPv${family}` : '';
  const nodes = sameNode ? `, ${nodesText(sameNode)}` : '';
  const flow = `${partiesText(from, parties)} → ${partiesText(to, parties)}`;
  return `${flow}   ${trafficText(traffic)}${only}${nodes}`;
}

function nodesText({ before, after }: NonNullable<FlowGroup['sameNode']>): string {
  if (before === after) return before ? 'on the same node' : 'not on the same node';
  return before ? 'on the same node before only' : 'on the same node after only';
}

/** `was denied by …, now allowed by …` of each half that flips, then what lets the other half pass. */
function reasons({ before, after }: FlowGroup): string[] {
  const directions: readonly Direction[] = ['egress', 'ingress'];
  const flips = directions.filter(
    (direction) => before[direction][0]?.verdict !== after[direction][0]?.verdict,
  );
  const steady = directions.filter(
    (direction) => !flips.includes(direction) && after[direction].some(({ tier }) => tier !== null),
  );
  const word = ({ verdict }: { readonly verdict: string }) =>
    verdict === 'allow' ? 'allowed' : 'denied';
  return [
    ...flips.map((direction) => {
      const was = `was ${word(before)} ${deciders(before[direction])}`;
      return `${direction} ${was}, now ${word(after)} ${deciders(after[direction])}`;
    }),
    ...steady.map((direction) => `${direction} stays allowed ${deciders(after[direction])}`),
  ];
}

function deciders(halves: readonly Half[]): string {
  const shown = halves.slice(0, DECIDERS_SHOWN).map(decider);
  const rest = halves.length - shown.length;
  return [...shown, ...(rest > 0 ? [`${rest} others`] : [])].join(' or ');
}

function decider({ tier, policy, rule }: Half): string {
  if (tier === null) return 'by no policy';
  if (policy === null) return `by the default action of tier ${tier}`;
  return `by rule ${rule} of ${formatPolicyRef(policy)} in tier ${tier}`;
}
