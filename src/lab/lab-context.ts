// What every part of a lab's keeper shares.
import type { ApiClient } from '#datastore/client';
import type { EventRecorder } from './event-recorder.ts';
import type { LabFolder } from './lab-folder.ts';
import type { LabState } from './lab-state.ts';
import type { PodRoutes } from './underlay.ts';

export interface LabContext {
  readonly folder: LabFolder;
  readonly state: LabState;
  readonly client: ApiClient;
  readonly events: EventRecorder;
  readonly podRoutes: PodRoutes;
  /** Plugins that run at once. */
  readonly cniTurns: Turns;
  readonly log: (message: string) => void;
  /** A pod has or lost its addresses. */
  readonly onPodChange: () => void;
}

/** Lets a few at a time; the others wait in their order. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
