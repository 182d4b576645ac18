// Log rules as chains of their own: a line in the kernel's log that says whose rule it was, at a bounded rate.
import type { Direction, LogRate, PolicyId } from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import type { Action } from './action.ts';
import type { Chain } from './chain.ts';
import { shortHash } from './names.ts';

/** What Log rules do. */
export interface KernelLog {
  /** May hold `%t` tier, `%k` kind, `%n` name and `%p` namespace and name. */
  readonly prefix: string;
  /** Of each rule; null is no limit. */
  readonly rate: LogRate | null;
}

/** As `kubectl` shortens them, with a letter for the foreign ones. */
const SHORT_KIND: Readonly<Record<PolicyId['kind'], string>> = {
  NetworkPolicy: 'np',
  GlobalNetworkPolicy: 'gnp',
  KubernetesNetworkPolicy: 'knp',
  ClusterNetworkPolicy: 'kcnp',
  StagedNetworkPolicy: 'snp',
  StagedGlobalNetworkPolicy: 'sgnp',
  StagedKubernetesNetworkPolicy: 'sknp',
  Profile: 'pro',
};

/** Bytes of the prefix that the kernel takes, without the colon and space that end it. */
const PREFIX_MAX = 125;

/** The prefix of a policy's or profile's lines; what is too long for the kernel is cut off before the colon. */
export function kernelLogPrefix(template: string, tier: string, policy: PolicyId): string {
  const { kind, namespace, name } = policy;
  const words: Readonly<Record<string, string>> = {
    t: kind === 'Profile' ? '' : tier,
    k: SHORT_KIND[kind],
    n: name,
    p: namespace === null ? name : `${namespace}/${name}`,
  };
  const text = template.replaceAll(/%([tknp])/g, (all, letter: string) => words[letter] ?? all);
  return `${cut(text)}: `;
}

function cut(text: string): string {
  const bytes = Buffer.from(text);
  // A character that would be cut in two is left out.
  return bytes.length <= PREFIX_MAX
    ? text
    : new TextDecoder().decode(bytes.subarray(0, PREFIX_MAX), { stream: true });
}

/** Whose Log rule it is; `index` as its author counts. */
export interface LogRule {
  readonly policy: PolicyId;
  readonly tier: string;
  readonly direction: Direction;
  readonly index: number;
}

/** The chain that writes the line and returns; alternatives of one rule share its rate. */
export function kernelLogChain({ policy, tier, direction, index }: LogRule, log: KernelLog): Chain {
  const who = `${policyKey(policy)} ${direction} rule ${index}`;
  const limit: Action[] = log.rate ? [{ action: 'limit', rate: log.rate }] : [];
  const prefix = kernelLogPrefix(log.prefix, tier, policy);
  const actions: Action[] = [...limit, { action: 'log-kernel', prefix }];
  return { name: `l-${shortHash(who)}`, comment: who, rules: [{ matches: [], actions }] };
}
