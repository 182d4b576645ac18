// The bits of the packet's mark that are ours, and others in their place where these are not to be had.
import type { Action } from './action.ts';
import type { Chain, Rule } from './chain.ts';
import type { Match } from './match.ts';

/** Says that a Pass rule has ended the tier. Within 0xffff0000, which is Calico's share of the mark. */
export const PASS_MARK = 0x0004_0000;

/** Says that an early stage of a host endpoint has allowed the packet: its later stages let it be. */
export const HOST_MARK = 0x0008_0000;

/** Which bit stands for each of ours. */
export type MarkBits = ReadonlyMap<number, number>;

/** Ours where the mask has both, else the two lowest of the mask; undefined where it has fewer. */
export function markBits(mask: number): MarkBits | undefined {
  const own = [PASS_MARK, HOST_MARK];
  const bits = Array.from({ length: 32 }, (_, index) => 2 ** index).filter((bit) => has(mask, bit));
  const [pass, host] = own.every((bit) => has(mask, bit)) ? own : bits;
  if (pass === undefined || host === undefined) return undefined;
  return new Map([
    [PASS_MARK, pass],
    [HOST_MARK, host],
  ]);
}

function has(mask: number, bit: number): boolean {
  return (mask & bit) !== 0;
}

/** The chains with other bits; the same object where ours stay. */
export function withMarks(
  chains: ReadonlyMap<string, Chain>,
  bits: MarkBits,
): ReadonlyMap<string, Chain> {
  if ([...bits].every(([own, bit]) => own === bit)) return chains;
  const bitOf = (own: number) => bits.get(own) ?? own;
  const matchOf = (one: Match): Match =>
    one.match === 'mark' ? { ...one, bit: bitOf(one.bit) } : one;
  const actionOf = (one: Action): Action =>
    one.action === 'set-mark' || one.action === 'clear-mark'
      ? { ...one, bit: bitOf(one.bit) }
      : one;
  const ruleOf = (rule: Rule): Rule => ({
    ...rule,
    matches: rule.matches.map(matchOf),
    actions: rule.actions.map(actionOf),
  });
  return new Map(
    [...chains].map(([name, chain]) => [name, { ...chain, rules: chain.rules.map(ruleOf) }]),
  );
}
