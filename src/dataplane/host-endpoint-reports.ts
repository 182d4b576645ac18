// What became of each host endpoint at an apply: which interface it governs, and whether all of it is in the kernel.
import type { DataplaneState } from '#calc/dataplane-update';
import { type InterfaceAddress, placeHostEndpoints } from './rules/host-interfaces.ts';
import { hostChainName, type HostStage } from './rules/names.ts';
import type { ApplyError, Ruleset } from './rules/ruleset.ts';

export interface HostEndpointReport {
  /** Name of the HostEndpoint. */
  readonly id: string;
  /** `*`: all that have no endpoint of their own. Null: none was found. */
  readonly interfaceName: string | null;
  /** Why it is not in force; absent where it is. */
  readonly error?: string;
}

const STAGES: readonly HostStage[] = ['untracked', 'pre-dnat', 'forward', 'normal'];
const DIRECTIONS = ['ingress', 'egress'] as const;

/**
 * `refused`: what the kernel did not take of the packet filter. `holds`: whether it has a chain, with all that this
 * refers to, as desired; asked only where something was refused.
 */
export function hostEndpointReports(
  { hostEndpoints, settings }: Pick<DataplaneState, 'hostEndpoints' | 'settings'>,
  {
    addresses,
    ruleset,
    refused,
    holds,
  }: {
    readonly addresses: readonly InterfaceAddress[];
    readonly ruleset: Pick<Ruleset, 'chains'>;
    readonly refused: readonly ApplyError[];
    readonly holds: (chain: string) => boolean;
  },
): HostEndpointReport[] {
  const problems = new Map<string, string>();
  const onProblem = (what: string, message: string) => problems.set(what, message);
  const placed = placeHostEndpoints(hostEndpoints, addresses, settings, onProblem);
  const interfaces = new Map([...placed].map(([name, { id }]) => [id, name]));
  return [...hostEndpoints.keys()].map((id): HostEndpointReport => {
    const interfaceName = interfaces.get(id) ?? null;
    if (interfaceName === null) {
      const error = problems.get(`HostEndpoint ${id}`) ?? 'it governs no interface';
      return { id, interfaceName, error };
    }
    const chains = chainsOf(interfaceName).filter((chain) => ruleset.chains.has(chain));
    if (refused.length === 0 || chains.every(holds)) return { id, interfaceName };
    const own = refused.find(({ what }) => what.startsWith(`HostEndpoint ${id} `)) ?? refused[0];
    return { id, interfaceName, error: own ? `${own.what}: ${own.message}` : 'it was refused' };
  });
}

/** Those that a host endpoint may have, with the hooks that lead to them. */
function chainsOf(interfaceName: string): string[] {
  return STAGES.flatMap((stage) =>
    DIRECTIONS.flatMap((direction) => [
      `${stage}-${direction}`,
      hostChainName(stage, direction, interfaceName),
    ]),
  );
}
