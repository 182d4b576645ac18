// Two states of a router with six pods, between which a dataplane dies; what holds in both must hold throughout.
import type { DataplaneState, LocalEndpoint } from '#calc/dataplane-update';
import { endpoint, policy, rule, stateOf, tierOf } from './dataplane-router.ts';

export type FaultState = 'before' | 'after';

const TCP = 6;
const port = (...ports: number[]) => ({
  ipSets: [],
  notIpSets: [],
  ports: ports.map((one) => [one, one] as const),
});
const from = (...pods: number[]) => ({
  ipSets: [],
  notIpSets: [],
  nets: pods.flatMap((pod) => [`10.65.0.${pod}/32`, `fd65::${pod}/128`]),
});

/**
 * In both, pod 1 may reach port 80 of pod 2, and pod 3 may not. Between them pod 4 goes and pod 5 comes, which
 * nobody may reach, pod 6 is known to neither, and most rules change.
 */
export function faultState(which: FaultState): DataplaneState {
  const isAfter = which === 'after';
  const many = Array.from({ length: 12 }, (_, index) =>
    policy(`many-${index}`, {
      ingress: [
        rule(isAfter && index % 2 === 0 ? 'Deny' : 'Allow', {
          protocol: TCP,
          source: from(7 + index),
          destination: port(2000 + index, 2001 + index),
        }),
      ],
    }),
  );
  const web = policy('web', {
    ingress: [
      ...(isAfter ? [rule('Deny', { protocol: TCP, source: from(3) })] : []),
      rule('Allow', { index: 1, protocol: TCP, source: from(1), destination: port(80) }),
      ...(isAfter ? [rule('Allow', { index: 2, protocol: TCP, destination: port(8080) })] : []),
    ],
  });
  const closed = policy('closed', { ingress: [rule('Deny')] });
  const policies = [...(isAfter ? many.slice(3) : many), web, closed];
  const target = endpoint(2, {
    ingress: [tierOf(...(isAfter ? many.slice(3).toReversed() : many), web)],
  });
  const endpoints: LocalEndpoint[] = [
    endpoint(1),
    target,
    endpoint(3),
    isAfter ? endpoint(5, { ingress: [tierOf(closed)] }) : endpoint(4, { ingress: [tierOf(web)] }),
  ];
  return stateOf(endpoints, policies, { blackholes: ['10.65.0.0/26', 'fd65::/122'] });
}
