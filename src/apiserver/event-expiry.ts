// Removes events some time after they last happened, as Kubernetes does.
import { eventKind } from '#api';
import type { StoredObject } from '#datastore';
import { isObject } from '#lib';
import { RequestError } from './request-error.ts';
import type { Resources } from './resources.ts';

/** How long an event stays after it last happened; milliseconds. */
const LIFE_MS = 3_600_000;
const SWEEP_MS = 60_000;
const CHUNK = 500;

export class EventExpiry {
  readonly #resources: Resources;
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(resources: Resources, onError: (error: unknown) => void) {
    this.#resources = resources;
    this.#onError = onError;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running = this.sweep(Date.now()).catch(this.#onError);
    }, SWEEP_MS);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  /** Removes what is too old at `now`, in milliseconds since 1970. */
  async sweep(now: number): Promise<void> {
    const selector = (event: StoredObject): boolean => lastSeen(event) + LIFE_MS <= now;
    for (;;) {
      const { items } = await this.#resources.page(eventKind, undefined, {
        selector,
        limit: CHUNK,
      });
      for (const { key, revision } of items) {
        const target = { kind: eventKind, namespace: key.namespace, name: key.name };
        // One that has just happened again is at another revision.
        const options = { dryRun: false, resourceVersion: String(revision) };
        await this.#resources.delete(target, options).catch((error: unknown) => {
          if (!(error instanceof RequestError)) throw error;
        });
      }
      if (items.length < CHUNK) return;
    }
  }
}

/** Milliseconds since 1970; one without any time counts as old. */
function lastSeen({ metadata, lastTimestamp, eventTime, series }: StoredObject): number {
  const times = [
    lastTimestamp,
    eventTime,
    isObject(series) ? series['lastObservedTime'] : undefined,
    isObject(metadata) ? metadata['creationTimestamp'] : undefined,
  ];
  return Math.max(0, ...times.map((time) => Date.parse(String(time))).filter((time) => time > 0));
}
