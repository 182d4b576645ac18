// BGPFilter: which routes a peering takes and gives, and what it changes in them (spec 01, 1.2 and 1.3; spec 07).
import { type Family, familyBits, parsePrefix } from '#lib';
import { type Static, Type } from 'typebox';
import { AsNumber } from './bgp-configuration.ts';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, quoted } from './problem.ts';

const Priority = Type.Integer({ minimum: 1, maximum: 2_147_483_646 });
const Community = Type.String({ format: 'community', maxLength: 32 });

const Operation = Type.Object(
  {
    addCommunity: Type.Optional(Type.Object({ value: Community })),
    prependASPath: Type.Optional(
      Type.Object({ prefix: Type.Array(AsNumber, { minItems: 1, maxItems: 10 }) }),
    ),
    setPriority: Type.Optional(Type.Object({ value: Priority })),
  },
  { minProperties: 1, maxProperties: 1 },
);

const PrefixLength = Type.Object({
  min: Type.Optional(Type.Integer({ minimum: 0, maximum: 128 })),
  max: Type.Optional(Type.Integer({ minimum: 0, maximum: 128 })),
});

export const BGPFilterRule = Type.Object({
  cidr: Type.Optional(Type.String({ format: 'network', maxLength: 43 })),
  prefixLength: Type.Optional(PrefixLength),
  source: Type.Optional(Type.Enum(['RemotePeers'])),
  /** A name, `*` stands for any characters. */
  interface: Type.Optional(Type.String({ pattern: '^[a-zA-Z0-9_.*-]{1,15}$' })),
  matchOperator: Type.Optional(Type.Enum(['Equal', 'NotEqual', 'In', 'NotIn'])),
  peerType: Type.Optional(Type.Enum(['eBGP', 'iBGP'])),
  communities: Type.Optional(
    Type.Object({ values: Type.Array(Community, { minItems: 1, maxItems: 1 }) }),
  ),
  asPathPrefix: Type.Optional(Type.Array(AsNumber)),
  priority: Type.Optional(Priority),
  action: Type.Enum(['Accept', 'Reject']),
  operations: Type.Optional(Type.Array(Operation, { minItems: 1, maxItems: 10 })),
});
export type BGPFilterRule = Static<typeof BGPFilterRule>;

const Rules = Type.Optional(Type.Array(BGPFilterRule));
export const BGPFilterSpec = Type.Object({
  exportV4: Rules,
  importV4: Rules,
  exportV6: Rules,
  importV6: Rules,
});

export interface BGPFilter extends Resource {
  readonly kind: 'BGPFilter';
  readonly spec: Static<typeof BGPFilterSpec>;
}

const LISTS = [
  ['exportV4', 4],
  ['importV4', 4],
  ['exportV6', 6],
  ['importV6', 6],
] as const;

export const bgpFilterKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'BGPFilter',
  plural: 'bgpfilters',
  singular: 'bgpfilter',
  shortNames: [],
  namespaced: false,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: BGPFilterSpec }),
  columns: [],
  check: (resource) => {
    const { spec } = resource as BGPFilter;
    return LISTS.flatMap(([list, family]) =>
      (spec[list] ?? []).flatMap((rule, index) =>
        filterRuleProblems(rule, family, `spec.${list}[${index}]`),
      ),
    );
  },
};

function filterRuleProblems(rule: BGPFilterRule, family: Family, path: string): Problem[] {
  const problems: Problem[] = [];
  const { cidr, matchOperator, prefixLength, operations } = rule;
  if ((cidr === undefined) !== (matchOperator === undefined)) {
    const [has, needs] = cidr === undefined ? ['matchOperator', 'cidr'] : ['cidr', 'matchOperator'];
    problems.push(fault(`${path}.${has}`, `needs ${needs}`));
  }
  if (cidr !== undefined && parsePrefix(cidr)?.family !== family) {
    problems.push(fault(`${path}.cidr`, `${quoted(cidr)} is no IPv${family} CIDR`));
  }
  if (prefixLength) {
    if (cidr === undefined) problems.push(fault(`${path}.prefixLength`, 'needs cidr'));
    const width = familyBits(family);
    for (const end of ['min', 'max'] as const) {
      const length = prefixLength[end];
      if (length === undefined || length <= width) continue;
      problems.push(
        fault(`${path}.prefixLength.${end}`, `${length} is out of range: use 0 to ${width}`),
      );
    }
    const { min = 0, max = width } = prefixLength;
    if (min > max) {
      problems.push(fault(`${path}.prefixLength.min`, `${min} is greater than max, ${max}`));
    }
  }
  if (operations && rule.action !== 'Accept') {
    problems.push(fault(`${path}.operations`, `only go with action Accept, not ${rule.action}`));
  }
  return problems;
}
