// What may not be made or removed yet: things in namespaces, tiers with policies, and the built-in.
import {
  BUILT_IN_TIERS,
  globalNetworkPolicyKind,
  type KindDefinition,
  namespaceKind,
  networkPolicyKind,
  type Resource,
  tierKind,
} from '#api';
import { isObject } from '#lib';
import { forbidden, notFound, RequestError } from './request-error.ts';
import type { Resources } from './resources.ts';

const BUILT_IN_NAMESPACES = new Set(['default', 'kube-system']);
const BUILT_IN_TIER_NAMES = new Set(BUILT_IN_TIERS.map((tier) => tier.metadata.name));

/** Marked for deletion, and waiting for something. */
export function isPendingDeletion(resource: Resource): boolean {
  return resource.metadata.deletionTimestamp !== undefined;
}

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

const RETRY_MS = 5_000;

/** Rules across kinds. Deleting a namespace empties it; a tier goes when its last policy has gone. */
export class Protection {
  readonly #resources: Resources;
  readonly #options: ProtectionOptions;
  readonly #namespaced: readonly KindDefinition[];
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(resources: Resources, options: ProtectionOptions) {
    this.#resources = resources;
    this.#options = options;
    this.#namespaced = options.kinds.filter((kind) => kind.namespaced);
  }

  /** Throws 404 or 403 where the namespace is missing or going. */
  async checkCreate(kind: KindDefinition, namespace: string): Promise<void> {
    if (!kind.namespaced) return;
    const target = { kind: namespaceKind, namespace: '', name: namespace };
    const found = await this.#resources.find(target);
    if (!found) throw notFound(namespaceKind, namespace);
    if (!isPendingDeletion(found)) return;
    throw forbidden(`namespace "${namespace}" is being deleted: nothing can be created in it`);
  }

  /** Throws 403 for what is built in. */
  checkDelete(kind: KindDefinition, name: string): void {
    const builtIn =
      (kind === namespaceKind && BUILT_IN_NAMESPACES.has(name)) ||
      (kind === tierKind && BUILT_IN_TIER_NAMES.has(name));
    if (builtIn) throw forbidden(`${kind.singular} "${name}" is built in and cannot be deleted`);
  }

  async mayRemove(kind: KindDefinition, resource: Resource): Promise<boolean> {
    if (kind === tierKind) return !(await this.#hasPolicies(resource.metadata.name));
    return kind !== namespaceKind;
  }

  afterMark(kind: KindDefinition, marked: Resource): void {
    if (kind === namespaceKind) this.#schedule(marked.metadata.name, this.#options.graceMs);
  }

  async afterRemove(kind: KindDefinition, removed: Resource): Promise<void> {
    if (kind !== networkPolicyKind && kind !== globalNetworkPolicyKind) return;
    const name = tierOf(removed);
    const tier = await this.#resources.find({ kind: tierKind, namespace: '', name });
    if (tier && isPendingDeletion(tier)) await this.#deleteAgain(tierKind, '', name);
  }

  async resume(): Promise<void> {
    for (const kind of [namespaceKind, tierKind]) {
      const { items } = await this.#resources.list(kind, undefined);
      for (const { key, value } of items) {
        const metadata = isObject(value['metadata']) ? value['metadata'] : {};
        if (metadata['deletionTimestamp']) await this.#deleteAgain(kind, '', key.name);
      }
    }
  }

  /** Waits for what is under way; what is only scheduled is resumed at the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await Promise.all(this.#running);
  }

  #schedule(namespace: string, delayMs: number): void {
    if (this.#closed || this.#timers.has(namespace)) return;
    const run = (): void => {
      this.#timers.delete(namespace);
      const running = this.#finalizeNamespace(namespace)
        .catch((error: unknown) => {
          this.#options.onError(error);
          this.#schedule(namespace, RETRY_MS);
        })
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    };
    this.#timers.set(namespace, setTimeout(run, delayMs));
  }

  async #finalizeNamespace(name: string): Promise<void> {
    await this.#empty(name);
    // What has finalizers, in it or its own, may take its time.
    const removed = (await this.#isEmpty(name)) && (await this.#removeNamespace(name));
    if (!removed) return this.#schedule(name, this.#options.graceMs);
    // A create that passed its check just before the mark may have become durable only now.
    await this.#empty(name);
  }

  async #removeNamespace(name: string): Promise<boolean> {
    const key = { kind: namespaceKind.plural, namespace: '', name };
    const stored = await this.#resources.store.get(key);
    const metadata = stored && isObject(stored.value['metadata']) ? stored.value['metadata'] : {};
    const finalizers: unknown = metadata['finalizers'];
    if (Array.isArray(finalizers) && finalizers.length > 0) return false;
    if (stored) await this.#resources.store.write({ key, value: undefined });
    return true;
  }

  async #empty(namespace: string): Promise<void> {
    for (const kind of this.#namespaced) {
      const { items } = await this.#resources.list(kind, namespace);
      await Promise.all(items.map(({ key }) => this.#deleteAgain(kind, namespace, key.name)));
    }
  }

  async #isEmpty(namespace: string): Promise<boolean> {
    for (const kind of this.#namespaced) {
      if ((await this.#resources.list(kind, namespace)).items.length > 0) return false;
    }
    return true;
  }

  async #hasPolicies(tier: string): Promise<boolean> {
    for (const kind of [networkPolicyKind, globalNetworkPolicyKind]) {
      const selector = (object: Readonly<Record<string, unknown>>): boolean =>
        isObject(object['spec']) && object['spec']['tier'] === tier;
      const { items } = await this.#resources.list(kind, undefined, { selector });
      if (items.length > 0) return true;
    }
    return false;
  }

  /** What is gone already is as good as deleted. */
  async #deleteAgain(kind: KindDefinition, namespace: string, name: string): Promise<void> {
    try {
      await this.#resources.delete({ kind, namespace, name }, { dryRun: false });
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
