// BGPFilter: which routes a peering takes and gives, and what it changes in them (spec 01, 1.2 and 1.3; spec 07).
import { invalidUnless, withRules } from './cel.ts';
import { type Family, familyBits, parsePrefix } from '#lib';
import { type Static, Type } from 'typebox';
import { AsNumber } from './bgp-configuration.ts';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, quoted } from './problem.ts';

const Priority = Type.Integer({ minimum: 1, maximum: 2_147_483_646 });
const atomic = { crd: { 'x-kubernetes-map-type': 'atomic' } } as const;

/** Texts of the numbers from 0 to 65535 and to 4294967295. */
const UINT16 =
  '([0-9]|[1-9][0-9]{1,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])';
const UINT32 =
  '([0-9]|[1-9][0-9]{1,8}|[1-3][0-9]{9}|4[0-1][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}' +
  '|42949[0-5][0-9]{4}|429496[0-6][0-9]{3}|4294967[0-1][0-9]{2}|42949672[0-8][0-9]|429496729[0-5])';
const Community = Type.String({
  format: 'community',
  maxLength: 32,
  crd: { pattern: `^(${UINT16}:${UINT16}|${UINT32}:${UINT32}:${UINT32})$` },
});

const Operation = Type.Object(
  {
    addCommunity: Type.Optional(Type.Object({ value: Community }, atomic)),
    prependASPath: Type.Optional(
      Type.Object({ prefix: Type.Array(AsNumber, { minItems: 1, maxItems: 10 }) }, atomic),
    ),
    setPriority: Type.Optional(Type.Object({ value: Priority }, atomic)),
  },
  { minProperties: 1, maxProperties: 1, ...atomic },
);

/** `cidrMax`: the longest text of a CIDR of the family. */
function ruleSchema(lengthMax: 32 | 128, cidrMax: number) {
  const Length = Type.Integer({ minimum: 0, maximum: lengthMax, crd: { format: 'int32' } });
  return Type.Object(
    {
      cidr: Type.Optional(
        Type.String({ format: 'network', maxLength: cidrMax, crd: { format: 'cidr' } }),
      ),
      prefixLength: Type.Optional(
        Type.Object({ min: Type.Optional(Length), max: Type.Optional(Length) }, atomic),
      ),
      source: Type.Optional(Type.Enum(['RemotePeers'])),
      /** A name, `*` stands for any characters. */
      interface: Type.Optional(
        Type.String({ pattern: '^[a-zA-Z0-9_.*-]{1,15}$', crd: { maxLength: 15 } }),
      ),
      matchOperator: Type.Optional(Type.Enum(['Equal', 'NotEqual', 'In', 'NotIn'])),
      peerType: Type.Optional(Type.Enum(['eBGP', 'iBGP'])),
      communities: Type.Optional(
        Type.Object({ values: Type.Array(Community, { minItems: 1, maxItems: 1 }) }, atomic),
      ),
      asPathPrefix: Type.Optional(Type.Array(AsNumber)),
      priority: Type.Optional(Priority),
      action: Type.Enum(['Accept', 'Reject']),
      operations: Type.Optional(Type.Array(Operation, { minItems: 1, maxItems: 10 })),
    },
    { crd: { ...atomic.crd, ...RULES } },
  );
}

const RULES = withRules(
  invalidUnless(
    '(has(self.cidr) && size(self.cidr) > 0) == (has(self.matchOperator) && ' +
      'size(self.matchOperator) > 0)',
    'cidr and matchOperator must both be set or both be empty',
  ),
  invalidUnless(
    '!has(self.prefixLength) || (has(self.cidr) && size(self.cidr) > 0)',
    'cidr is required when prefixLength is set',
  ),
  {
    message: 'operations may only be used with action Accept',
    rule: "!has(self.operations) || size(self.operations) == 0 || self.action == 'Accept'",
  },
);

const BGPFilterRule4 = ruleSchema(32, 18);
const BGPFilterRule6 = ruleSchema(128, 43);
export type BGPFilterRule = Static<typeof BGPFilterRule4>;

export const BGPFilterSpec = Type.Object({
  exportV4: Type.Optional(Type.Array(BGPFilterRule4)),
  importV4: Type.Optional(Type.Array(BGPFilterRule4)),
  exportV6: Type.Optional(Type.Array(BGPFilterRule6)),
  importV6: Type.Optional(Type.Array(BGPFilterRule6)),
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
