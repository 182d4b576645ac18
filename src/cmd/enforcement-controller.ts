// Says of policies and host endpoints, as condition `Enforced`, whether all nodes have them, who is last and why.
import type { Logger } from 'pino';
import {
  type AgentStatus,
  type Condition,
  enforcedKey,
  enforcementOf,
  isEnforcedKind,
  KINDS,
  type KindDefinition,
  kindOf,
  type NodeEnforcement,
  type Resource,
} from '#api';
import { type ApiClient, ApiError } from '#datastore/client';
import { Syncer, type SyncerUpdate } from '#datastore/syncer';
import { type Controller, startController } from './controller.ts';

/** What is not in force after so long is said to be late. */
const LATE_MS = 3_000;
const TURN_MS = 50;

/** A policy or host endpoint whose newest version is not yet known to be in force. */
interface Waiting {
  readonly kind: KindDefinition;
  readonly resource: Resource;
  readonly since: number;
  /** When each node had it, in milliseconds since. */
  readonly arrivals: Map<string, number>;
}

interface StatusHolder extends Resource {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** Works until `stop`. */
export function startEnforcementController(
  kubeconfig: string,
  log: Logger,
): Pick<Controller, 'stop'> {
  const onError = (error: unknown) =>
    log.warn({ err: error }, 'cannot say whether a policy is in force; trying again');
  return startController(kubeconfig, (client) => new EnforcementController(client, onError));
}

class EnforcementController implements Controller {
  readonly #client: ApiClient;
  readonly #onError: (error: unknown) => void;
  readonly #syncer: Syncer;
  readonly #nodes = new Set<string>();
  readonly #agents = new Map<string, AgentStatus>();
  readonly #resources = new Map<string, Pick<Waiting, 'kind' | 'resource'>>();
  /** Keys of those, by the keys that nodes name them by. */
  readonly #keys = new Map<string, string>();
  readonly #waiting = new Map<string, Waiting>();
  #inSync = false;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(client: ApiClient, onError: (error: unknown) => void) {
    this.#client = client;
    this.#onError = onError;
    this.#syncer = new Syncer({
      client,
      kinds: KINDS.filter((kind) => isEnforcedKind(kind) || isOfNodes(kind)),
      callbacks: {
        onUpdates: (updates) => this.#onUpdates(updates),
        onStatus: (status) => {
          this.#inSync = status === 'in-sync';
          if (this.#inSync) for (const agent of this.#agents.values()) this.#onAgent(agent);
        },
      },
    });
  }

  start(): void {
    this.#syncer.start();
    this.#timer = setInterval(() => {
      this.#turn = this.#turn.then(() => this.#look());
    }, TURN_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#syncer.stop();
    await this.#turn;
  }

  #onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      const name = resource?.metadata.name ?? key.slice(key.lastIndexOf('/') + 1);
      if (isEnforcedKind(kind)) this.#onEnforced(kind, key, resource);
      else if (kind.kind === 'Node' && resource) this.#nodes.add(name);
      else if (kind.kind === 'Node') this.#nodes.delete(name);
      else if (resource) this.#onAgent(resource as AgentStatus);
      else this.#agents.delete(name);
    }
  }

  /** What a node has no more, though it was in force there, is looked at again. */
  #onAgent(agent: AgentStatus): void {
    this.#agents.set(agent.metadata.name, agent);
    const { refusedPolicies = [], hostEndpoints = [] } = agent.status ?? {};
    const lost = hostEndpoints.filter(({ enforced }) => !enforced);
    const keys = [
      ...refusedPolicies.map(({ key }) => key),
      ...lost.map(({ name }) => `HostEndpoint//${name}`),
    ];
    for (const key of keys.flatMap((one) => this.#keys.get(one) ?? [])) {
      const known = this.#resources.get(key);
      if (!known || this.#waiting.has(key)) continue;
      this.#waiting.set(key, { ...known, since: Date.now(), arrivals: new Map() });
    }
  }

  #onEnforced(kind: KindDefinition, key: string, resource: Resource | undefined): void {
    const before = this.#resources.get(key);
    if (resource) {
      this.#resources.set(key, { kind, resource });
      this.#keys.set(enforcedKey(resource), key);
    } else if (before) {
      this.#resources.delete(key);
      this.#keys.delete(enforcedKey(before.resource));
    }
    const known = this.#waiting.get(key);
    const condition = resource && conditionOf(resource);
    const generation = resource?.metadata.generation;
    const isSaid = condition?.status === 'True' && condition.observedGeneration === generation;
    if (!resource || isSaid) this.#waiting.delete(key);
    else if (known?.resource.metadata.generation !== generation) {
      this.#waiting.set(key, { kind, resource, since: Date.now(), arrivals: new Map() });
    }
  }

  async #look(): Promise<void> {
    if (!this.#inSync || this.#nodes.size === 0) return;
    for (const [key, waiting] of this.#waiting) {
      const nodes = enforcementOf(waiting.resource, this.#nodes, this.#agents);
      const age = Date.now() - waiting.since;
      for (const { node, enforced } of nodes) {
        if (enforced && !waiting.arrivals.has(node)) waiting.arrivals.set(node, age);
      }
      const isEnforced = nodes.every(({ enforced }) => enforced);
      if (!isEnforced && age < LATE_MS) continue;
      const said = await this.#say(waiting, nodes, isEnforced);
      if (said && isEnforced) this.#waiting.delete(key);
    }
  }

  /** Whether the condition is as it should be. */
  async #say(
    waiting: Waiting,
    nodes: readonly NodeEnforcement[],
    isEnforced: boolean,
  ): Promise<boolean> {
    const { kind, resource } = waiting;
    const { namespace, name, generation } = resource.metadata;
    const condition: Condition = {
      type: 'Enforced',
      status: isEnforced ? 'True' : 'False',
      ...(generation !== undefined && { observedGeneration: generation }),
      lastTransitionTime: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
      reason: isEnforced ? 'OnEveryNode' : 'NodesBehind',
      message: messageOf(waiting, nodes),
    };
    const before = conditionOf(resource);
    if (before?.message === condition.message && before.observedGeneration === generation) {
      return true;
    }
    const others = conditionsOf(resource).filter(({ type }) => type !== 'Enforced');
    try {
      const written = await this.#client.patch(
        kind,
        { name, ...(namespace !== undefined && { namespace }) },
        { status: { conditions: [...others, condition] } },
        { subresource: 'status' },
      );
      if (written.metadata.generation !== generation) return false;
      // The version that is waited for stays: nodes need not have seen this change of its status.
      const said: StatusHolder = { ...resource, status: { conditions: [...others, condition] } };
      for (const [key, one] of this.#waiting) {
        if (one === waiting) this.#waiting.set(key, { ...waiting, resource: said });
      }
      return true;
    } catch (error) {
      if (!(error instanceof ApiError && error.notFound)) this.#onError(error);
      return false;
    }
  }
}

function isOfNodes(kind: KindDefinition): boolean {
  return kind === kindOf('v1', 'Node') || kind === kindOf('tortie.dev/v1', 'AgentStatus');
}

function conditionsOf(resource: Resource): readonly Condition[] {
  const { status }: StatusHolder = resource;
  return status?.conditions ?? [];
}

function conditionOf(resource: Resource): Condition | undefined {
  return conditionsOf(resource).find(({ type }) => type === 'Enforced');
}

/** `3 of 3 nodes; last node-2 after 140 ms`, or `2 of 3 nodes; missing node-3: its agent has not reported`. */
function messageOf({ arrivals }: Waiting, nodes: readonly NodeEnforcement[]): string {
  const done = nodes.filter(({ enforced }) => enforced).length;
  const missing = nodes.filter(({ enforced }) => !enforced);
  const sum = `${done} of ${nodes.length} nodes`;
  const [first] = missing;
  if (first) {
    const more = missing.length > 1 ? ` and ${missing.length - 1} more` : '';
    return `${sum}; missing ${first.node}${more}${first.error === undefined ? '' : `: ${first.error}`}`;
  }
  const [last] = [...arrivals].toSorted(([, a], [, b]) => b - a);
  return last ? `${sum}; last ${last[0]} after ${last[1]} ms` : sum;
}
