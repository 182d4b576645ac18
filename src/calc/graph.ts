// The calculation of one host: updates of the cluster in, the one value that the host's dataplane enforces out.
import type { ParameterSource, ResolvedParameters } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import { compareCodePoints } from '#lib';
import type { DataplaneState } from './dataplane-update.ts';
import { HostGraph } from './host-graph.ts';
import type { LabelIndexCounts } from './labels/label-index.ts';
import type { Topology } from './network-graph.ts';
import type { CalcProblem } from './problem-log.ts';
import { ResourceDecoder } from './resource-decoder.ts';

/** Values that wait for the next reading; more than these are worked in as they come. */
const WAITING_MAX = 1000;

/**
 * `onUpdates` takes values in, and `state` gives what follows from those that are there now. A reader that comes late
 * pays for each key once, however often it changed, and what waits for it is bounded.
 */
export class CalcGraph {
  readonly #graph: HostGraph;
  readonly #decoder: ResourceDecoder;
  readonly #waiting = new Map<string, SyncerUpdate>();

  /**
   * `hostname`: the `spec.nodeName` of the pods that this host runs. `local`: the host's own sources of parameters
   * (environment, file), the stronger first.
   */
  constructor(hostname: string, local: readonly ParameterSource[] = []) {
    this.#graph = new HostGraph(hostname, local);
    this.#decoder = new ResourceDecoder(this.#graph);
  }

  /** Takes new values in; updates of kinds that the calculation does not read are ignored. */
  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const update of updates) {
      this.#waiting.set(`${update.kind.group}/${update.kind.kind} ${update.key}`, update);
      if (this.#waiting.size > WAITING_MAX) this.#workIn();
    }
  }

  /**
   * All that this host must enforce. Depends on the present resources only. Whatever equals its
   * predecessor is the same object as before, up to the state as a whole.
   */
  state(): DataplaneState {
    this.#settle();
    return this.#graph.state();
  }

  /** The cluster's network as this host sees it; parts that did not change are the same objects as before. */
  topology(): Topology {
    this.#settle();
    return this.#graph.topology();
  }

  /** The agent's parameters in force, from all sources by precedence. The same object while nothing changed. */
  parameters(): ResolvedParameters {
    this.#settle();
    return this.#graph.parameters;
  }

  /** What matching the rules' selectors with labelled objects has cost since the start. */
  matching(): LabelIndexCounts {
    return this.#graph.matching;
  }

  /** What is wrong with the resources, in the order of their kind, namespace and name. */
  problems(): readonly CalcProblem[] {
    this.#settle();
    const problems = [...this.#decoder.problems(), ...this.#graph.problems()];
    return problems.sort((a, b) => compareCodePoints(a.key, b.key));
  }

  #settle(): void {
    this.#workIn();
    this.#decoder.settle();
  }

  #workIn(): void {
    for (const { kind, key, resource } of this.#waiting.values()) {
      this.#decoder.read(kind, key, resource);
    }
    this.#waiting.clear();
  }
}
