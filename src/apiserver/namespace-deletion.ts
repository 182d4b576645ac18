// Empties namespaces that are marked for deletion, says in their status what is left, and removes them.
import { type KindDefinition, namespaceKind, type Resource } from '#api';
import { RevisionConflict } from '#datastore';
import { isObject, jsonEqual } from '#lib';
import { hasFinalizers } from './deletion-plan.ts';
import { KindWatch } from './kind-watch.ts';
import { RequestError } from './request-error.ts';
import type { Resources } from './resources.ts';
import { timestamp } from './timestamp.ts';
import { NAMESPACE_FINALIZER, namespaceFinalizers } from './write-strategy.ts';

export interface NamespaceDeletionOptions {
  readonly kinds: readonly KindDefinition[];
  /**
   * How long a namespace stays as it is after it was marked, so that who deletes a manifest can
   * delete what is in it by name; and how often it is looked at again. Milliseconds.
   */
  readonly graceMs: number;
  /** A namespace could not be emptied; it is tried again. */
  readonly onError: (error: unknown) => void;
}

interface Remains {
  readonly kind: KindDefinition;
  readonly count: number;
  /** How many wait for each finalizer. */
  readonly finalizers: ReadonlyMap<string, number>;
}

const RETRY_MS = 5_000;

export class NamespaceDeletion {
  readonly #resources: Resources;
  readonly #options: NamespaceDeletionOptions;
  readonly #namespaced: readonly KindDefinition[];
  readonly #watch: KindWatch;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(resources: Resources, options: NamespaceDeletionOptions) {
    this.#resources = resources;
    this.#options = options;
    this.#namespaced = options.kinds.filter((kind) => kind.namespaced);
    this.#watch = new KindWatch(resources, {
      kind: namespaceKind,
      onError: options.onError,
      onChange: ({ key, value }) => {
        const marked = isObject(value?.['metadata']) && value['metadata']['deletionTimestamp'];
        if (marked) this.#schedule(key.name, options.graceMs);
      },
    });
  }

  /** Goes on with the namespaces that are marked, whoever marks them. */
  async start(): Promise<void> {
    await this.#watch.start();
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await Promise.all(this.#running);
  }

  #schedule(namespace: string, delayMs: number): void {
    if (this.#closed || this.#timers.has(namespace)) return;
    const run = (): void => {
      this.#timers.delete(namespace);
      const running = this.#finalize(namespace)
        .catch((error: unknown) => {
          this.#options.onError(error);
          this.#schedule(namespace, RETRY_MS);
        })
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    };
    this.#timers.set(namespace, setTimeout(run, delayMs));
  }

  async #finalize(name: string): Promise<void> {
    await this.#empty(name);
    const remains = await this.#remains(name);
    // What has finalizers, in it or its own, may take its time.
    const removed = remains.length === 0 && (await this.#remove(name));
    if (!removed) {
      await this.#report(name, remains);
      return this.#schedule(name, this.#options.graceMs);
    }
    // A create that passed its check just before the mark may have become durable only now.
    await this.#empty(name);
  }

  /** False: finalizers of others hold it. */
  async #remove(name: string): Promise<boolean> {
    const key = { kind: namespaceKind.plural, namespace: '', name };
    const namespace = await this.#resources.find({ kind: namespaceKind, namespace: '', name });
    if (!namespace) return true;
    const left = namespaceFinalizers(namespace).filter((entry) => entry !== NAMESPACE_FINALIZER);
    if (left.length > 0 || hasFinalizers(namespace)) return false;
    const expected = Number(namespace.metadata.resourceVersion);
    try {
      await this.#resources.store.write({ key, value: undefined, expected });
      return true;
    } catch (error) {
      if (error instanceof RevisionConflict) return false;
      throw error;
    }
  }

  async #empty(namespace: string): Promise<void> {
    for (const kind of this.#namespaced) {
      const { items } = await this.#resources.list(kind, namespace);
      await Promise.all(items.map(({ key }) => this.#delete(kind, namespace, key.name)));
    }
  }

  async #remains(namespace: string): Promise<Remains[]> {
    const remains: Remains[] = [];
    for (const kind of this.#namespaced) {
      const { items } = await this.#resources.list(kind, namespace);
      if (items.length === 0) continue;
      const finalizers = new Map<string, number>();
      for (const { value } of items) {
        const metadata = isObject(value['metadata']) ? value['metadata'] : {};
        const names: unknown = metadata['finalizers'];
        for (const name of Array.isArray(names) ? names.map(String) : []) {
          finalizers.set(name, (finalizers.get(name) ?? 0) + 1);
        }
      }
      remains.push({ kind, count: items.length, finalizers });
    }
    return remains;
  }

  /** As Kubernetes' namespace controller tells it, for `kubectl describe`. */
  async #report(name: string, remains: readonly Remains[]): Promise<void> {
    const target = { kind: namespaceKind, namespace: '', name };
    const change = (current: Resource): unknown => {
      const { status }: Resource & { status?: unknown } = current;
      const before = isObject(status) ? status : {};
      const conditions = conditionsOf(remains, before['conditions']);
      return { ...current, status: { ...before, conditions } };
    };
    const options = { dryRun: false, subresource: 'status' } as const;
    await this.#resources.update(target, change, options).catch(ignoreMissing);
  }

  async #delete(kind: KindDefinition, namespace: string, name: string): Promise<void> {
    const target = { kind, namespace, name };
    await this.#resources.delete(target, { dryRun: false }).catch(ignoreMissing);
  }
}

/** What is gone already is as good as deleted. */
function ignoreMissing(error: unknown): void {
  if (!(error instanceof RequestError && error.code === 404)) throw error;
}

function conditionsOf(remains: readonly Remains[], before: unknown): Record<string, unknown>[] {
  const content = remains.map(({ kind, count }) => {
    const name = kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
    return `${name} has ${count} resource instances`;
  });
  const counts = new Map<string, number>();
  for (const { finalizers } of remains) {
    for (const [name, count] of finalizers) counts.set(name, (counts.get(name) ?? 0) + count);
  }
  const held = [...counts].map(([name, count]) => `${name} in ${count} resource instances`);
  return [
    condition(before, 'NamespaceContentRemaining', {
      status: content.length > 0 ? 'True' : 'False',
      reason: content.length > 0 ? 'SomeResourcesRemain' : 'ContentRemoved',
      message:
        content.length > 0
          ? `Some resources are remaining: ${content.join(', ')}`
          : 'All content successfully removed',
    }),
    condition(before, 'NamespaceFinalizersRemaining', {
      status: held.length > 0 ? 'True' : 'False',
      reason: held.length > 0 ? 'SomeFinalizersRemain' : 'ContentHasNoFinalizers',
      message:
        held.length > 0
          ? `Some content in the namespace has finalizers remaining: ${held.join(', ')}`
          : 'All content-preserving finalizers finished',
    }),
  ];
}

/** With the time of the last change of its status. */
function condition(
  before: unknown,
  type: string,
  state: { status: string; reason: string; message: string },
): Record<string, unknown> {
  const conditions: readonly unknown[] = Array.isArray(before) ? before : [];
  const known = conditions.filter(isObject).find((entry) => entry['type'] === type);
  const same = known && jsonEqual(known['status'], state.status);
  const lastTransitionTime = same ? known['lastTransitionTime'] : timestamp(Date.now());
  return { type, lastTransitionTime, ...state };
}
