// nftables base chains: where in the kernel they hang, to and from netlink attributes.
import type { AttributeMap, AttributeWriter } from '../netlink/attribute.ts';

const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

export type HookName = keyof typeof HOOK;

/** Hangs a chain into a hook; lower priorities come first. `policy` is the verdict at its end. */
export interface BaseChain {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: HookName;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
}

const CHAIN = { HOOK: 4, POLICY: 5, TYPE: 7 } as const;
const HOOK_ATTRIBUTE = { NUMBER: 1, PRIORITY: 2 } as const;

export function writeBaseChain(writer: AttributeWriter, base: BaseChain): void {
  writer.nested(CHAIN.HOOK, (hook) => {
    hook.be32(HOOK_ATTRIBUTE.NUMBER, HOOK[base.hook]);
    hook.be32(HOOK_ATTRIBUTE.PRIORITY, base.priority >>> 0);
  });
  writer.be32(CHAIN.POLICY, base.policy === 'accept' ? 1 : 0).string(CHAIN.TYPE, base.type);
}

/** A text that is equal exactly for base chains that hang alike; empty for a regular chain. */
export function baseSignature(base: BaseChain | undefined): string {
  if (!base) return '';
  return `${base.type} ${HOOK[base.hook]} ${base.priority} ${base.policy === 'accept' ? 1 : 0}`;
}

/** The signature of a chain read from the kernel. */
export function readBaseSignature(chain: AttributeMap): string {
  const hook = chain.nested(CHAIN.HOOK);
  if (!hook) return '';
  const number = hook.be32(HOOK_ATTRIBUTE.NUMBER) ?? -1;
  const priority = (hook.be32(HOOK_ATTRIBUTE.PRIORITY) ?? 0) | 0;
  return `${chain.string(CHAIN.TYPE) ?? ''} ${number} ${priority} ${chain.be32(CHAIN.POLICY) ?? 1}`;
}
