// Follows the store's roles, bindings and tiers, so that a request is judged in memory; aggregates cluster roles.
import {
  clusterRoleBindingKind,
  clusterRoleKind,
  type KindDefinition,
  roleBindingKind,
  roleKind,
  tierKind,
} from '#api';
import type { StoreEvent, StoreKey } from '#datastore';
import type { Resources } from '../resources.ts';
import { storeKey, toResource } from '../stored-resource.ts';
import { Authorizer } from './authorization.ts';
import { aggregatedRules } from './role-aggregation.ts';
import { RbacPolicy, type RbacPlural } from './rbac-policy.ts';

const RBAC_KINDS: readonly (readonly [RbacPlural, KindDefinition])[] = [
  ['roles', roleKind],
  ['rolebindings', roleBindingKind],
  ['clusterroles', clusterRoleKind],
  ['clusterrolebindings', clusterRoleBindingKind],
];

type Change = Pick<StoreEvent, 'key' | 'value' | 'revision'>;

const RETRY_MS = 1_000;

/** The authorizer over what is stored. `close` ends its watches. */
export class RbacIndex {
  readonly #resources: Resources;
  readonly #onError: (error: unknown) => void;
  readonly #policy = new RbacPolicy();
  readonly #tiers = new Set<string>();
  readonly #stops = new Map<KindDefinition, () => void>();
  readonly authorizer = new Authorizer(this.#policy, () => this.#tiers);
  #aggregating: Promise<void> = Promise.resolve();
  #waiting = false;
  #closed = false;

  private constructor(resources: Resources, onError: (error: unknown) => void) {
    this.#resources = resources;
    this.#onError = onError;
  }

  /** Resolves once everything stored is known and what aggregates is filled in. */
  static async open(resources: Resources, onError: (error: unknown) => void): Promise<RbacIndex> {
    const index = new RbacIndex(resources, onError);
    for (const [plural, kind] of RBAC_KINDS) {
      await index.#follow(kind, ({ key, value, revision }) => {
        index.#policy.set(plural, key, value && toResource(value, revision));
        if (kind === clusterRoleKind) index.#aggregate();
      });
    }
    await index.#follow(tierKind, ({ key, value }) => {
      if (value) index.#tiers.add(key.name);
      else index.#tiers.delete(key.name);
    });
    await index.#settled();
    return index;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#stops.values()) stop();
    await this.#settled();
  }

  async #follow(kind: KindDefinition, on: (change: Change) => void): Promise<void> {
    const known = new Map<string, StoreKey>();
    const tell = (change: Change): void => {
      const id = `${change.key.namespace}/${change.key.name}`;
      if (change.value) known.set(id, change.key);
      else known.delete(id);
      on(change);
    };
    const begin = async (): Promise<void> => {
      const { items, revision } = await this.#resources.list(kind, undefined);
      const gone = new Map(known);
      for (const item of items) {
        gone.delete(`${item.key.namespace}/${item.key.name}`);
        tell(item);
      }
      // What was taken back while nobody told it must not hold on.
      for (const key of gone.values()) tell({ key, value: undefined, revision });
      const stop = await this.#resources.store.watch({
        kind: storeKey(kind, '', '').kind,
        from: revision,
        onEvent: tell,
        onEnd: (error) => beginAgain(error),
      });
      if (this.#closed) stop();
      else this.#stops.set(kind, stop);
    };
    const beginAgain = (error: unknown): void => {
      if (this.#closed) return;
      this.#onError(error);
      const timer = setTimeout(() => void begin().catch(beginAgain), RETRY_MS);
      this.#stops.set(kind, () => clearTimeout(timer));
    };
    await begin();
  }

  /** Until roles no longer change what other roles aggregate. */
  async #settled(): Promise<void> {
    let seen: Promise<void> | undefined;
    while (seen !== this.#aggregating) {
      seen = this.#aggregating;
      await seen;
    }
  }

  /** One run after the other; a run that is not begun yet sees everything. */
  #aggregate(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#aggregating = this.#aggregating.then(() => this.#aggregateOnce()).catch(this.#onError);
  }

  async #aggregateOnce(): Promise<void> {
    this.#waiting = false;
    if (this.#closed) return;
    for (const [role, rules] of aggregatedRules([...this.#policy.clusterRoles])) {
      const target = { kind: clusterRoleKind, namespace: '', name: role.metadata.name };
      const change = (current: object): object => ({ ...current, rules });
      await this.#resources.update(target, change, { dryRun: false });
    }
  }
}
