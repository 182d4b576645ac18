// Where a virtual machine is while it moves: when routes lead to it here, and before those to where it was (spec 22).
import type { DataplaneState, LocalEndpoint } from '#calc/dataplane-update';
import { PersistentMap } from '#lib';
import type { ArrivalListener } from './arrival-listener.ts';

export interface LiveMigrationsOptions {
  /** Listens on an interface for the machine's arrival; undefined while there is no such interface. */
  readonly listen: (interfaceName: string, onArrival: () => void) => ArrivalListener | undefined;
  /** Whether routes lead to the endpoint, as an agent before this one may have left them. */
  readonly isRouted: (endpoint: LocalEndpoint) => boolean;
  /** Told when the state would be amended in another way. */
  readonly onChange: () => void;
  readonly log: (message: string) => void;
}

/**
 *            target        arrival     no role             time is over, source, gone
 *   (none) ──────────> waiting ──> arrived ──> settling ──────────────────────────────> (none)
 *                         └──────── no role ──────┘
 */
type Stage = 'waiting' | 'arrived' | 'settling';

interface Migration {
  stage: Stage;
  interfaceName: string;
  listener: ArrivalListener | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** A target has no routes until its machine has arrived, then preferred ones until all others know where it is. */
export class LiveMigrations {
  readonly #options: LiveMigrationsOptions;
  readonly #migrations = new Map<string, Migration>();
  readonly #amended = new WeakMap<LocalEndpoint, Map<string, LocalEndpoint>>();
  #endpoints: DataplaneState['endpoints'] | undefined;
  #settleMs = 30_000;
  #last:
    | { readonly of: DataplaneState; readonly text: string; readonly state: DataplaneState }
    | undefined;

  constructor(options: LiveMigrationsOptions) {
    this.#options = options;
  }

  /** How long preferred routes stay once the migration is over; of those that are over later. */
  setSettleTime(ms: number): void {
    this.#settleMs = ms;
  }

  /** The state with what migrations make of its endpoints' routes; the same object where there are none. */
  amend(state: DataplaneState): DataplaneState {
    const isFirst = this.#endpoints === undefined;
    if (this.#endpoints !== state.endpoints) this.#follow(state.endpoints, isFirst);
    this.#endpoints = state.endpoints;
    for (const [id, migration] of this.#migrations) this.#listen(id, migration);
    if (this.#migrations.size === 0) return state;
    const text = JSON.stringify([...this.#migrations].map(([id, { stage }]) => [id, stage]));
    if (this.#last?.of === state && this.#last.text === text) return this.#last.state;
    let endpoints = PersistentMap.from(state.endpoints);
    for (const [id, { stage }] of this.#migrations) {
      const endpoint = state.endpoints.get(id);
      if (!endpoint) continue;
      endpoints = endpoints.with(
        id,
        this.#routed(endpoint, stage === 'waiting' ? 'none' : 'elevated'),
      );
    }
    this.#last = { of: state, text, state: { ...state, endpoints } };
    return this.#last.state;
  }

  stop(): void {
    for (const id of this.#migrations.keys()) this.#end(id);
  }

  #follow(endpoints: DataplaneState['endpoints'], isFirst: boolean): void {
    for (const id of this.#migrations.keys()) if (!endpoints.has(id)) this.#end(id);
    for (const [id, endpoint] of endpoints) {
      const { migration: role, interfaceName } = endpoint;
      const known = this.#migrations.get(id);
      if (!known) {
        if (role !== 'target') continue;
        // An agent that was killed meanwhile had heard of the arrival, and left routes.
        const stage = isFirst && this.#options.isRouted(endpoint) ? 'arrived' : 'waiting';
        const begun: Migration = { stage, interfaceName, listener: undefined, timer: undefined };
        this.#migrations.set(id, begun);
        this.#options.log(`${id} is the target of a live migration: ${stage}`);
      } else if (role === 'source') this.#end(id);
      else if (role === undefined && known.stage !== 'settling') this.#settle(id, known);
      else if (known.interfaceName !== interfaceName) {
        known.listener?.close();
        known.listener = undefined;
        known.interfaceName = interfaceName;
      }
    }
  }

  #listen(id: string, migration: Migration): void {
    if (migration.stage !== 'waiting' || migration.listener) return;
    try {
      migration.listener = this.#options.listen(migration.interfaceName, () => {
        if (migration.stage !== 'waiting') return;
        migration.stage = 'arrived';
        migration.listener?.close();
        migration.listener = undefined;
        this.#options.log(`${id} has arrived`);
        this.#options.onChange();
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log(`Cannot hear when ${id} arrives: ${reason}`);
      // It is routed when the migration is over.
      migration.listener = { close: () => undefined };
    }
  }

  #settle(id: string, migration: Migration): void {
    migration.stage = 'settling';
    migration.listener?.close();
    migration.listener = undefined;
    migration.timer = setTimeout(() => {
      this.#end(id);
      this.#options.onChange();
    }, this.#settleMs);
    migration.timer.unref();
  }

  #end(id: string): void {
    const migration = this.#migrations.get(id);
    clearTimeout(migration?.timer);
    migration?.listener?.close();
    this.#migrations.delete(id);
  }

  /** Equal parts are the same object at the next call. */
  #routed(endpoint: LocalEndpoint, routing: 'none' | 'elevated'): LocalEndpoint {
    const forms = this.#amended.get(endpoint) ?? new Map<string, LocalEndpoint>();
    this.#amended.set(endpoint, forms);
    const known = forms.get(routing) ?? { ...endpoint, routing };
    forms.set(routing, known);
    return known;
  }
}
