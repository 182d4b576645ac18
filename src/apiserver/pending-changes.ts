// Undoes changes that nobody confirmed in time: durable in the store, so a restart undoes them too.
import { kindOf, type PendingChange, pendingChangeKind, type Resource } from '#api';
import type { ChangedObject } from '#api';
import { isObject } from '#lib';
import { RequestError } from './request-error.ts';
import type { NamedTarget, Resources } from './resources.ts';
import { toResource } from './stored-resource.ts';
import { timestamp } from './timestamp.ts';

/** How often it is looked for what is due: while changes wait, and else for those that another server took. */
const SWEEP_MS = { waiting: 500, idle: 10_000 } as const;
/** For so long a change that was announced here may take to be stored. */
const ANNOUNCED_MS = 30_000;
const OWN = { dryRun: false } as const;

export class PendingChanges {
  readonly #resources: Resources;
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #isOpen = false;
  #announcedUntil = 0;

  constructor(resources: Resources, onError: (error: unknown) => void) {
    this.#resources = resources;
    this.#onError = onError;
  }

  start(): void {
    this.#isOpen = true;
    this.#schedule(SWEEP_MS.waiting);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(delayMs: number): void {
    if (!this.#isOpen) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#running.then(() => this.#look());
    }, delayMs);
  }

  async #look(): Promise<void> {
    let waits = true;
    try {
      waits = await this.sweep(Date.now());
    } catch (error) {
      this.#onError(error);
    }
    const isSoon = waits || Date.now() < this.#announcedUntil;
    this.#schedule(isSoon ? SWEEP_MS.waiting : SWEEP_MS.idle);
  }

  /**
   * A PendingChange as it is to be stored: with what the server holds now as `before`, whatever its
   * writer put there. What is malformed is left for validation to refuse.
   */
  async captured(body: unknown): Promise<unknown> {
    const spec = isObject(body) ? body['spec'] : undefined;
    if (!isObject(body) || !isObject(spec) || !Array.isArray(spec['objects'])) return body;
    this.#announcedUntil = Date.now() + ANNOUNCED_MS;
    this.#schedule(SWEEP_MS.waiting);
    const objects = await Promise.all(spec['objects'].map((object) => this.#withBefore(object)));
    return { ...body, spec: { ...spec, objects } };
  }

  async #withBefore(object: unknown): Promise<unknown> {
    if (!isObject(object)) return object;
    const { before: _, ...reference } = object;
    const target = targetOf(reference as ChangedObject);
    const before = target && (await this.#resources.find(target));
    return before ? { ...reference, before } : reference;
  }

  /** Undoes what is due at `now`, in milliseconds since 1970; whether any change waits. */
  async sweep(now: number): Promise<boolean> {
    const { items } = await this.#resources.list(pendingChangeKind, undefined);
    for (const { value, revision } of items) {
      const change = toResource(value, revision) as PendingChange;
      if (dueAt(change) > now) continue;
      await this.#undo(change, now).catch(this.#onError);
    }
    return items.length > 0;
  }

  /** Confirming is refused from the first step on: it asks for the revision from before. */
  async #undo(change: PendingChange, now: number): Promise<void> {
    const target = { kind: pendingChangeKind, namespace: '', name: change.metadata.name };
    if (change.status?.undoingSince === undefined) {
      const { resourceVersion } = change.metadata;
      const status = { undoingSince: timestamp(now) };
      const mark = (current: Resource) => ({
        ...current,
        metadata: { ...current.metadata, resourceVersion },
        status,
      });
      await this.#resources.update(target, mark, { ...OWN, subresource: 'status' });
    }
    for (const object of change.spec.objects.toReversed()) await this.#restore(object);
    await ignore404(this.#resources.delete(target, OWN));
  }

  async #restore(object: ChangedObject): Promise<void> {
    const target = targetOf(object);
    if (!target) return;
    const { before } = object;
    if (!before) {
      await ignore404(this.#resources.delete(target, OWN));
      return;
    }
    const wanted = before as unknown as Resource;
    if (!(await this.#resources.find(target))) {
      const { uid: _, resourceVersion: __, creationTimestamp: ___, ...metadata } = wanted.metadata;
      await this.#resources.create(target, { ...wanted, metadata }, OWN);
      return;
    }
    const back = (current: Resource) => {
      const { uid, resourceVersion, creationTimestamp } = current.metadata;
      const identity = { uid, resourceVersion, creationTimestamp };
      return { ...wanted, metadata: { ...wanted.metadata, ...identity } };
    };
    await this.#resources.update(target, back, OWN);
  }
}

function targetOf({ apiVersion, kind, namespace, name }: ChangedObject): NamedTarget | undefined {
  const definition = kindOf(apiVersion, kind);
  return definition && { kind: definition, namespace: namespace ?? '', name };
}

/** Milliseconds since 1970; never before the time that was promised, as the creation is in whole seconds. */
function dueAt({ metadata, spec }: PendingChange): number {
  const created = Date.parse(metadata.creationTimestamp ?? '');
  return (Number.isNaN(created) ? 0 : created) + (1 + spec.confirmWithinSeconds) * 1000;
}

async function ignore404(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof RequestError && error.code === 404)) throw error;
  }
}
