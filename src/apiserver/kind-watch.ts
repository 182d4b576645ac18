// Follows all objects of a kind inside the server, for as long as it runs.
import type { KindDefinition } from '#api';
import type { StoreEvent } from '#datastore';
import type { Resources } from './resources.ts';
import { storeKey } from './stored-resource.ts';

export interface KindWatchOptions {
  readonly kind: KindDefinition;
  /** Of everything that is there, then of each change. After a watch that broke, of everything again. */
  readonly onChange: (change: Pick<StoreEvent, 'key' | 'value' | 'previous'>) => void;
  /** The watch broke; it begins again. */
  readonly onError: (error: unknown) => void;
}

const RETRY_MS = 1_000;

export class KindWatch {
  readonly #resources: Resources;
  readonly #options: KindWatchOptions;
  #stop: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(resources: Resources, options: KindWatchOptions) {
    this.#resources = resources;
    this.#options = options;
  }

  /** Resolves when everything that is there was told. */
  async start(): Promise<void> {
    const { kind, onChange } = this.#options;
    const { items, revision } = await this.#resources.list(kind, undefined);
    for (const { key, value } of items) onChange({ key, value, previous: undefined });
    const stop = await this.#resources.store.watch({
      kind: storeKey(kind, '', '').kind,
      from: revision,
      onEvent: onChange,
      onEnd: (error) => this.#startLater(error),
    });
    if (this.#closed) stop();
    else this.#stop = stop;
  }

  close(): void {
    this.#closed = true;
    this.#stop?.();
    clearTimeout(this.#timer);
  }

  #startLater(error: unknown): void {
    this.#stop = undefined;
    if (this.#closed) return;
    this.#options.onError(error);
    this.#timer = setTimeout(() => {
      this.start().catch((failure: unknown) => this.#startLater(failure));
    }, RETRY_MS);
  }
}
