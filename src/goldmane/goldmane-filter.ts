// Goldmane's filters: items of one list are alternatives, lists must all match.
import type { FlowCondition, FlowRecord, PolicyHit, ScalarField } from '#flows';
import { hitOf, responsible } from './goldmane-flow.ts';
import {
  ACTIONS,
  type Filter,
  MATCH_FUZZY,
  REPORTERS,
  type PolicyMatch,
  type StringMatch,
} from './goldmane-messages.ts';

/** What of a filter a storage can look for; `matchesTraces` is the rest of it. */
export function conditionOfFilter(filter: Filter | undefined): FlowCondition {
  if (!filter) return { all: [] };
  const all: FlowCondition[] = [];
  const add = (field: ScalarField, matches: readonly StringMatch[]): void => {
    if (matches.length > 0) all.push({ any: matches.map((match) => textCondition(field, match)) });
  };
  add('sourceAggregate', filter.sourceNames);
  add('sourceNamespace', filter.sourceNamespaces);
  add('destinationAggregate', filter.destNames);
  add('destinationNamespace', filter.destNamespaces);
  add(
    'protocol',
    filter.protocols.map((match) => ({ ...match, value: match.value.toLowerCase() })),
  );
  if (filter.destPorts.length > 0) {
    all.push({ field: 'port', in: filter.destPorts.map(({ port }) => port) });
  }
  const verdicts = (['allow', 'deny'] as const).filter((it) =>
    filter.actions.includes(ACTIONS[it]),
  );
  if (filter.actions.length > 0) all.push({ field: 'verdict', in: verdicts });
  const reporter = (['src', 'dst'] as const).find((it) => REPORTERS[it] === filter.reporter);
  if (reporter) all.push({ field: 'reporter', in: [reporter] });
  return { all };
}

function textCondition(field: ScalarField, { value, type }: StringMatch): FlowCondition {
  return type === MATCH_FUZZY ? { field, like: `*${value}*` } : { field, in: [value] };
}

/** Whether the traces are as the filter asks: some step is of its policies, and pending actions agree. */
export function matchesTraces(filter: Filter | undefined, record: FlowRecord): boolean {
  if (!filter) return true;
  const { policies, pendingActions } = filter;
  const steps = [...record.policies, ...record.pending];
  const named = steps.some((hit) => policies.some((match) => matchesPolicy(match, hit)));
  const would = record.pending.findLast(({ action }) => action !== 'pass')?.action;
  const acts = would !== undefined && pendingActions.includes(ACTIONS[would]);
  return (policies.length === 0 || named) && (pendingActions.length === 0 || acts);
}

/** Fields that are not given match everything; the end of a tier also goes by the policy that made it apply. */
export function matchesPolicy(match: PolicyMatch, hit: PolicyHit): boolean {
  return matchesStep(match, hit) || matchesStep(match, responsible(hit));
}

function matchesStep(match: PolicyMatch, hit: PolicyHit): boolean {
  const own = hitOf(hit, 0);
  return (
    (match.kind === 0 || match.kind === own.kind) &&
    (match.tier === '' || match.tier === own.tier) &&
    (match.namespace === '' || match.namespace === own.namespace) &&
    (match.name === '' || match.name === own.name) &&
    (match.action === 0 || match.action === own.action)
  );
}
