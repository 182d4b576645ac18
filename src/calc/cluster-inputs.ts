// What the datastore holds now, by kind and key: the only input of the calculation.
import type {
  ClusterNetworkPolicy,
  EndpointSlice,
  FelixConfiguration,
  GlobalNetworkPolicy,
  HostEndpoint,
  IPAMBlock,
  KindDefinition,
  KubernetesNetworkPolicy,
  KubernetesNode,
  Namespace,
  NetworkPolicy,
  NetworkSet,
  Pod,
  Profile,
  Resource,
  ServiceAccount,
  Tier,
} from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import { compareCodePoints } from '#lib';

/** The kinds that the calculation reads, by `group/kind`; updates of others are ignored. */
interface InputKinds {
  readonly '/Pod': Pod;
  readonly '/Namespace': Namespace;
  readonly '/ServiceAccount': ServiceAccount;
  readonly '/Node': KubernetesNode;
  readonly 'discovery.k8s.io/EndpointSlice': EndpointSlice;
  readonly 'networking.k8s.io/NetworkPolicy': KubernetesNetworkPolicy;
  readonly 'policy.networking.k8s.io/ClusterNetworkPolicy': ClusterNetworkPolicy;
  readonly 'projectcalico.org/NetworkPolicy': NetworkPolicy;
  readonly 'projectcalico.org/GlobalNetworkPolicy': GlobalNetworkPolicy;
  readonly 'projectcalico.org/Tier': Tier;
  readonly 'projectcalico.org/NetworkSet': NetworkSet;
  readonly 'projectcalico.org/GlobalNetworkSet': NetworkSet;
  readonly 'projectcalico.org/HostEndpoint': HostEndpoint;
  readonly 'projectcalico.org/Profile': Profile;
  readonly 'projectcalico.org/IPAMBlock': IPAMBlock;
  readonly 'projectcalico.org/FelixConfiguration': FelixConfiguration;
}
export type InputKind = keyof InputKinds;

const KINDS: readonly string[] = [
  '/Pod',
  '/Namespace',
  '/ServiceAccount',
  '/Node',
  'discovery.k8s.io/EndpointSlice',
  'networking.k8s.io/NetworkPolicy',
  'policy.networking.k8s.io/ClusterNetworkPolicy',
  'projectcalico.org/NetworkPolicy',
  'projectcalico.org/GlobalNetworkPolicy',
  'projectcalico.org/Tier',
  'projectcalico.org/NetworkSet',
  'projectcalico.org/GlobalNetworkSet',
  'projectcalico.org/HostEndpoint',
  'projectcalico.org/Profile',
  'projectcalico.org/IPAMBlock',
  'projectcalico.org/FelixConfiguration',
] satisfies InputKind[];

/** Whether the calculation reads a kind: what an agent need not watch, it should not. */
export function isInputKind({ group, kind }: Pick<KindDefinition, 'group' | 'kind'>): boolean {
  return KINDS.includes(`${group}/${kind}`);
}

/** Keeps the present value of every resource; nothing of the way there (rule CG1). */
export class ClusterInputs {
  readonly #resources = new Map(KINDS.map((kind) => [kind, new Map<string, Resource>()]));
  readonly #epochs = new Map(KINDS.map((kind) => [kind, 0]));

  /** A map operation for each update. Returns whether anything was taken in. */
  onUpdates(updates: readonly SyncerUpdate[]): boolean {
    let changed = false;
    for (const update of updates) changed = this.#onUpdate(update) || changed;
    return changed;
  }

  #onUpdate({ kind, key, resource }: SyncerUpdate): boolean {
    const id = `${kind.group}/${kind.kind}`;
    const resources = this.#resources.get(id);
    if (!resources || resources.get(key) === resource) return false;
    if (resource) resources.set(key, resource);
    else resources.delete(key);
    this.#epochs.set(id, (this.#epochs.get(id) ?? 0) + 1);
    return true;
  }

  /** The resources of one kind, ordered by namespace and name, so that no result depends on arrival. */
  list<K extends InputKind>(kind: K): InputKinds[K][] {
    const resources = [...(this.#resources.get(kind)?.values() ?? [])];
    return resources.sort(compareResources) as unknown as InputKinds[K][];
  }

  /** Grows with every change of one of the kinds. */
  epoch(...kinds: readonly InputKind[]): number {
    return kinds.reduce((sum, kind) => sum + (this.#epochs.get(kind) ?? 0), 0);
  }
}

function compareResources(a: Resource, b: Resource): number {
  return (
    compareCodePoints(a.metadata.namespace ?? '', b.metadata.namespace ?? '') ||
    compareCodePoints(a.metadata.name, b.metadata.name)
  );
}
