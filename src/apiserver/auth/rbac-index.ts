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

/** The authorizer over what is stored. `close` ends its watches. */
export class RbacIndex {
  readonly #resources: Resources;
  readonly #onError: (error: unknown) => void;
  readonly #policy = new RbacPolicy();
  readonly #tiers = new Set<string>();
  readonly #stops: (() => void)[] = [];
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
    for (const stop of this.#stops) stop();
    await this.#settled();
  }

  async #follow(
    kind: KindDefinition,
    on: (event: Pick<StoreEvent, 'value' | 'revision'> & { key: StoreKey }) => void,
  ): Promise<void> {
    const { items, revision } = await this.#resources.list(kind, undefined);
    for (const item of items) on(item);
    const watch = { kind: storeKey(kind, '', '').kind, from: revision, onEvent: on };
    this.#stops.push(await this.#resources.store.watch(watch));
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
