// What may not be made or removed yet: things in namespaces, tiers with policies, and the built-in.
import {
  BUILT_IN_TIERS,
  calicoNodeKind,
  felixConfigurationKind,
  globalNetworkPolicyKind,
  type KindDefinition,
  namespaceKind,
  networkPolicyKind,
  nodeKind,
  type Resource,
  tierKind,
} from '#api';
import { isObject } from '#lib';
import { isPendingDeletion } from './deletion-plan.ts';
import { NamespaceDeletion } from './namespace-deletion.ts';
import { forbidden, namespaceTerminating, notFound, RequestError } from './request-error.ts';
import type { Resources } from './resources.ts';
import { namespaceFinalizers } from './write-strategy.ts';

const BUILT_IN_NAMESPACES = new Set(['default', 'kube-system']);
const BUILT_IN_TIER_NAMES = new Set(BUILT_IN_TIERS.map((tier) => tier.metadata.name));

export interface ProtectionOptions {
  readonly kinds: readonly KindDefinition[];
  /**
   * How long a namespace stays as it is after it was marked, so that who deletes a manifest can
   * delete what is in it by name; and how often it is looked at again. Milliseconds.
   */
  readonly graceMs: number;
  /** A namespace could not be emptied; it is tried again. */
  readonly onError: (error: unknown) => void;
}

/** Rules across kinds. Deleting a namespace empties it; a tier goes when its last policy has gone. */
export class Protection {
  readonly #resources: Resources;
  readonly #namespaces: NamespaceDeletion;

  constructor(resources: Resources, options: ProtectionOptions) {
    this.#resources = resources;
    this.#namespaces = new NamespaceDeletion(resources, options);
  }

  /** Throws 404 or 403 where the namespace is missing or going. */
  async checkCreate(kind: KindDefinition, namespace: string, name: string): Promise<void> {
    if (!kind.namespaced) return;
    const target = { kind: namespaceKind, namespace: '', name: namespace };
    const found = await this.#resources.find(target);
    if (!found) throw notFound(namespaceKind, namespace);
    if (!isPendingDeletion(found)) return;
    throw namespaceTerminating(kind, name, namespace);
  }

  /** Throws 403 for what is built in. */
  checkDelete(kind: KindDefinition, name: string): void {
    const builtIn =
      (kind === namespaceKind && BUILT_IN_NAMESPACES.has(name)) ||
      (kind === tierKind && BUILT_IN_TIER_NAMES.has(name)) ||
      (kind === felixConfigurationKind && name === 'default');
    if (builtIn) throw forbidden(`${kind.singular} "${name}" is built in and cannot be deleted`);
  }

  async mayRemove(kind: KindDefinition, resource: Resource): Promise<boolean> {
    if (kind === tierKind) return !(await this.#hasPolicies(resource.metadata.name));
    // Emptied before its finalizer goes, which is the act of `NamespaceDeletion` or of `finalize`.
    return kind !== namespaceKind || namespaceFinalizers(resource).length === 0;
  }

  /** The last policy of a tier may have gone while the tier was being marked. */
  async afterMark(kind: KindDefinition, { metadata: { name } }: Resource): Promise<void> {
    if (kind !== tierKind || (await this.#hasPolicies(name))) return;
    await this.#deleteAgain(tierKind, name);
  }

  async afterRemove(kind: KindDefinition, removed: Resource): Promise<void> {
    // Another node of the name would find what was meant for this one.
    if (kind === nodeKind || kind === calicoNodeKind) {
      await this.#deleteAgain(felixConfigurationKind, `node.${removed.metadata.name}`);
    }
    if (kind !== networkPolicyKind && kind !== globalNetworkPolicyKind) return;
    const name = tierOf(removed);
    const tier = await this.#resources.find({ kind: tierKind, namespace: '', name });
    if (tier && isPendingDeletion(tier)) await this.#deleteAgain(tierKind, name);
  }

  /** Goes on with what was marked before. */
  async resume(): Promise<void> {
    await this.#namespaces.start();
    const { items } = await this.#resources.list(tierKind, undefined);
    for (const { key, value } of items) {
      const metadata = isObject(value['metadata']) ? value['metadata'] : {};
      if (metadata['deletionTimestamp']) await this.#deleteAgain(tierKind, key.name);
    }
  }

  /** Waits for what is under way; what is only scheduled is resumed at the next start. */
  async close(): Promise<void> {
    await this.#namespaces.close();
  }

  async #hasPolicies(tier: string): Promise<boolean> {
    for (const kind of [networkPolicyKind, globalNetworkPolicyKind]) {
      const selector = (object: Readonly<Record<string, unknown>>): boolean =>
        isObject(object['spec']) && object['spec']['tier'] === tier;
      const { items } = await this.#resources.page(kind, undefined, { selector, limit: 1 });
      if (items.length > 0) return true;
    }
    return false;
  }

  /** What is gone already is as good as deleted. */
  async #deleteAgain(kind: KindDefinition, name: string): Promise<void> {
    try {
      await this.#resources.delete({ kind, namespace: '', name }, { dryRun: false });
    } catch (error) {
      if (!(error instanceof RequestError && error.code === 404)) throw error;
    }
  }
}

function tierOf(policy: Resource): string {
  const { spec }: Resource & { spec?: unknown } = policy;
  const tier = isObject(spec) ? spec['tier'] : undefined;
  return typeof tier === 'string' ? tier : 'default';
}
