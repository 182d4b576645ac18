// Addresses that stand for "somewhere": those that policies and network sets name, and one that nobody names.
import type { Party } from '../packet.ts';
import { maskPrefix, parsePrefix, formatAddress } from '#lib';
import type { ResourcesByKind } from '../world-resources.ts';
import { DIRECTIONS, SIDES, type TierView } from './policy-view.ts';

/** Of blocks for documentation (RFC 5737, RFC 3849): where no rule says anything about an address. */
const ELSEWHERE = ['198.51.100.77', '2001:db8:77::77'];
const MAX = 256;

/** The first address of every network that anything names, at most 256, and one of each family that nobody does. */
export function somewhere(tiers: readonly TierView[], resources: ResourcesByKind): Party[] {
  const inRules = tiers.flatMap(({ policies }) =>
    policies.flatMap((policy) =>
      DIRECTIONS.flatMap((direction) =>
        policy.rules[direction].flatMap(({ rule }) =>
          SIDES.flatMap((side) => rule[side]?.nets ?? []),
        ),
      ),
    ),
  );
  const inSets = [
    ...resources['projectcalico.org GlobalNetworkSet'],
    ...resources['projectcalico.org NetworkSet'],
  ].flatMap(({ spec }) => spec?.nets ?? []);
  const first = [...inRules, ...inSets].flatMap((text) => {
    const prefix = parsePrefix(text);
    if (!prefix || prefix.length === 0) return [];
    return [formatAddress({ family: prefix.family, bits: maskPrefix(prefix).bits })];
  });
  const texts = [...ELSEWHERE, ...new Set(first)].slice(0, MAX);
  return texts.map((address) => ({ type: 'address', address }));
}
