// Reads all that the collection compares, in an order in which what is alive cannot be missed.
import {
  blockAffinityKind,
  calicoNodeKind,
  type ClusterInformation,
  clusterInformationKind,
  type IPAMBlock,
  ipamBlockKind,
  ipamConfigurationKind,
  type IPAMConfiguration,
  ipamHandleKind,
  ipPoolKind,
  type IPReservation,
  ipReservationKind,
  type KindDefinition,
  type KubeControllersConfiguration,
  kubeControllersConfigurationKind,
  type KubernetesNode,
  nodeKind,
  parseDuration,
  type Pod,
  podKind,
  type Resource,
  serviceKind,
  type WorkloadEndpoint,
  workloadEndpointKind,
} from '#api';
import type { ApiClient } from '#datastore/client';
import type { ClusterState } from './collection.ts';
import { isAffinity, isBlock, isHandle, isPool } from './inventory.ts';
import { endpointUses, podUse, type PodUse, usesOf } from './owners.ts';
import { Reservations, settingsOf } from './settings.ts';

export interface ClusterReading extends ClusterState {
  readonly reservations: Reservations;
  readonly information: ClusterInformation | undefined;
  /** How long a difference must last; milliseconds, 0: only what is final is mended. */
  readonly graceMs: number;
}

type ListClient = Pick<ApiClient, 'list'>;

const DEFAULT_GRACE_MS = 15 * 60_000;
const SLICE = 500;

/**
 * Blocks are read before pods: an address that was allocated after the blocks were read is not there
 * to be missed, and a pod that is given its address meanwhile is seen with it.
 */
export async function readCluster(client: ListClient): Promise<ClusterReading> {
  const list = async (kind: KindDefinition) => (await client.list(kind)).items;
  const blocks = (await list(ipamBlockKind)).filter(isBlock);
  const [affinities, handles, pools, configurations, reservations, controllers, information] =
    await Promise.all(
      [
        blockAffinityKind,
        ipamHandleKind,
        ipPoolKind,
        ipamConfigurationKind,
        ipReservationKind,
        kubeControllersConfigurationKind,
        clusterInformationKind,
      ].map(list),
    );
  const [podItems = [], nodeItems = [], services = [], hosts = [], endpoints = []] =
    await Promise.all(
      [podKind, nodeKind, serviceKind, calicoNodeKind, workloadEndpointKind].map(list),
    );
  const pods = await usesInSlices(podItems.filter(isPod));
  // Pods of other clusters on the same datastore have an endpoint there, and are no objects here.
  for (const [key, use] of endpointUses(endpoints as WorkloadEndpoint[])) {
    if (!pods.has(key)) pods.set(key, use);
  }
  const nodes = nodeItems as KubernetesNode[];
  const configuration = named(configurations) as IPAMConfiguration | undefined;
  return {
    blocks,
    affinities: (affinities ?? []).filter(isAffinity),
    handles: (handles ?? []).filter(isHandle),
    pools: (pools ?? []).filter(isPool),
    pods,
    nodes: new Set([...nodes, ...hosts].map(({ metadata }) => metadata.name)),
    uses: usesOf(pods.values(), nodes, services),
    restMs: settingsOf(configuration).restMs,
    reservations: new Reservations((reservations ?? []) as IPReservation[]),
    information: named(information) as ClusterInformation | undefined,
    graceMs: graceOf(named(controllers) as KubeControllersConfiguration | undefined),
  };
}

/** A server reads this beside its other work: nobody waits for ten thousand pods. */
async function usesInSlices(pods: readonly Pod[]): Promise<Map<string, PodUse>> {
  const uses = new Map<string, PodUse>();
  for (let start = 0; start < pods.length; start += SLICE) {
    if (start > 0) await new Promise((resolve) => setImmediate(resolve));
    for (const pod of pods.slice(start, start + SLICE)) {
      const use = podUse(pod);
      if (use) uses.set(use.key, use);
    }
  }
  return uses;
}

/** The singleton. */
function named(items: readonly Resource[] | undefined): Resource | undefined {
  return items?.find(({ metadata }) => metadata.name === 'default');
}

function graceOf(configuration: KubeControllersConfiguration | undefined): number {
  const text = configuration?.spec.controllers?.node?.leakGracePeriod;
  return text === undefined ? DEFAULT_GRACE_MS : (parseDuration(text) ?? DEFAULT_GRACE_MS);
}

export function isPod(resource: Resource): resource is Pod {
  return resource.kind === 'Pod' && 'spec' in resource;
}

/** Blocks by name. */
export function blocksByName(blocks: readonly IPAMBlock[]): Map<string, IPAMBlock> {
  return new Map(blocks.map((block) => [block.metadata.name, block]));
}
