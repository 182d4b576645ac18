// What is valid in a policy and does nothing: selectors, ports and rules without effect.
import { neverMatches, parseSelector } from '#selector';
import type { Problem } from './kind.ts';
import type { NetworkPolicySpec } from './policy.ts';
import { caution, quoted } from './problem.ts';
import type { EntityRule, Port } from './rule.ts';

const DIRECTIONS = [
  ['ingress', 'Ingress'],
  ['egress', 'Egress'],
] as const;

/** Warnings of one policy by itself; what no pod fits is for those to say who know the pods. */
export function policyCautions(spec: NetworkPolicySpec): Problem[] {
  return [
    ...selectorCautions(spec.selector, 'spec.selector'),
    ...selectorCautions(spec.serviceAccountSelector, 'spec.serviceAccountSelector'),
    ...DIRECTIONS.flatMap(([direction, type]) => {
      const rules = spec[direction] ?? [];
      return [
        ...directionCautions(rules.length, spec.types, {
          direction,
          type,
          typesPath: 'spec.types',
        }),
        ...rules.flatMap((rule, index) =>
          (['source', 'destination'] as const).flatMap((side) =>
            entityCautions(rule[side] ?? {}, `spec.${direction}[${index}].${side}`),
          ),
        ),
      ];
    }),
  ];
}

/** Rules of a direction that the policy's types leave out. */
export function directionCautions(
  ruleCount: number,
  types: readonly string[] | undefined,
  names: { readonly direction: string; readonly type: string; readonly typesPath: string },
): Problem[] {
  if (ruleCount === 0 || !types || types.includes(names.type)) return [];
  const message = `has no effect: ${names.typesPath} does not include ${names.type}; add it, or remove the rules`;
  return [caution(`spec.${names.direction}`, message)];
}

function entityCautions(entity: EntityRule, path: string): Problem[] {
  return [
    ...selectorCautions(entity.selector, `${path}.selector`),
    ...selectorCautions(entity.namespaceSelector, `${path}.namespaceSelector`),
    ...selectorCautions(entity.serviceAccounts?.selector, `${path}.serviceAccounts.selector`),
    ...portCautions(entity, path),
  ];
}

/** The schema has parsed it; one that it refused is its own problem. */
function selectorCautions(text: string | undefined, path: string): Problem[] {
  if (text === undefined || text === '' || text === 'global()') return [];
  if (!isContradiction(text)) return [];
  return [caution(path, `${quoted(text)} matches nothing: it asks of a label what cannot be`)];
}

function isContradiction(text: string): boolean {
  try {
    return neverMatches(parseSelector(text));
  } catch {
    return false;
  }
}

function portCautions({ ports = [], notPorts = [] }: EntityRule, path: string): Problem[] {
  return ports.flatMap((port, index) => {
    const excluding = notPorts.find((not) => covers(not, port));
    if (excluding === undefined) return [];
    const message = `${quoted(port)} has no effect: notPorts excludes ${quoted(excluding)}`;
    return [caution(`${path}.ports[${index}]`, message)];
  });
}

/** Whether every port of `inner` is one of `outer`; names only by themselves. */
function covers(outer: Port, inner: Port): boolean {
  const [a, b] = [rangeOf(outer), rangeOf(inner)];
  return a && b ? a[0] <= b[0] && b[1] <= a[1] : outer === inner;
}

function rangeOf(port: Port): readonly [first: number, last: number] | undefined {
  if (typeof port === 'number') return [port, port];
  const [, first, last] = /^(\d+):(\d+)$/.exec(port) ?? [];
  return first === undefined || last === undefined ? undefined : [Number(first), Number(last)];
}
