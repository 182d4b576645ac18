// Candidates as rules of a chain: where they lead, which can be reached, and what they say again of their scope.
import type { Family } from '#lib';
import type { Action } from './action.ts';
import type { Candidate, ScopeProtocol } from './candidates.ts';
import type { Rule } from './chain.ts';
import type { Match } from './match.ts';

/** What all candidates of a list have in common. */
export interface Scope {
  /** Of chains and maps. */
  readonly name: string;
  readonly family: Family;
  readonly protocol: ScopeProtocol;
}

/** A port is read behind a match of the protocol alone. */
export function portReader({ protocol }: Scope): Match[] {
  return protocol === 'other' ? [] : [{ match: 'protocol', protocols: [protocol] }];
}

export function sameIds(one: readonly Candidate[], other: readonly Candidate[]): boolean {
  return one.length === other.length && one.every(({ id }, index) => id === other[index]?.id);
}

/** The list up to the first that every packet fits: what comes after that is out of reach. */
export function untilCertain(list: readonly Candidate[]): readonly Candidate[] {
  const index = list.findIndex((candidate) => certain(candidate) !== undefined);
  return index < 0 ? list : list.slice(0, index + 1);
}

/** The chain that every packet goes to, if it does. */
export function certain(candidate: Candidate | undefined): string | undefined {
  if (!candidate || candidate.ports || candidate.rest.length > 0) return undefined;
  return targetOf(candidate);
}

export function targetOf(candidate: Candidate | undefined): string | undefined {
  const action = candidate?.action;
  return action?.action === 'goto' ? action.chain : undefined;
}

/** What a scope has in common is said again where a match is read by it, as nft reads it. */
export function ruleOf(scope: Scope, { ports, rest, action }: Candidate): Rule {
  const port: Match[] = ports
    ? [{ match: 'ports', end: 'destination', ports: ports.map(([a, b]) => [Number(a), Number(b)]) }]
    : [];
  const matches = [...port, ...rest];
  return { matches: [...implied(scope, matches), ...matches], actions: [action] };
}

function implied({ family, protocol }: Scope, matches: readonly Match[]): Match[] {
  const asksAddress = matches.some((match) => 'family' in match);
  const asksHeader = matches.some(({ match }) => match === 'ports' || match === 'icmp');
  return [
    ...(asksAddress ? [{ match: 'family', family } as const] : []),
    ...(asksHeader && protocol !== 'other'
      ? [{ match: 'protocol', protocols: [protocol] } as const]
      : []),
  ];
}

export function goTo(chain: string): Rule {
  const action: Action = { action: 'goto', chain };
  return { matches: [], actions: [action] };
}
