// Attaches pods to the network and detaches them: addresses, interface, annotations, enforcement.
import { type Pod, podKind } from '#api';
import { type ApiClient, ApiError } from '#datastore/client';
import type { BlockAllocator } from '#ipam';
import { CniError } from './cni-error.ts';
import { KeyedLock } from './keyed-lock.ts';
import {
  ANNOTATION,
  type PodKey,
  handleOf,
  hasStaleStatus,
  hostInterfaceName,
  hostPrefixText,
  podKeyOf,
  workloadHandleOf,
} from './pod.ts';
import {
  type AttachedInterface,
  DEFAULT_ROUTE,
  HOST_MAC,
  type InterfaceDriver,
  NEXT_HOP,
  type PodInterface,
} from './pod-interface.ts';
import { CNI_CODE, type CniRequest, type CniResult } from './protocol.ts';
import type { CniHandler } from './server.ts';
import { timestampText, type Wishes, wishesOf } from './wishes.ts';

/** What must be in force before a pod may start. */
export interface AwaitedEndpoint {
  /** `namespace/pod`. */
  readonly id: string;
  readonly interfaceName: string;
  /** Host prefixes. */
  readonly addresses: readonly string[];
}

export interface PodNetworkOptions {
  readonly nodeName: string;
  readonly client: Pick<ApiClient, 'get' | 'patch'>;
  readonly allocator: Pick<BlockAllocator, 'assign' | 'release' | 'allocations'>;
  /** Resolves when the kernel enforces the endpoint's policy and routes its addresses. */
  readonly waitEnforced: (endpoint: AwaitedEndpoint, signal: AbortSignal) => Promise<void>;
  /** Whether the dataplane enforces: before that an interface would be unprotected. */
  readonly isReady: () => boolean;
  /** Of a pod's namespace: its pools, where the pod names none. */
  readonly namespaceAnnotations?: (namespace: string) => Readonly<Record<string, string>>;
  readonly interfaces: InterfaceDriver;
  readonly now?: () => Date;
}

/** One per node. The rules are in SPEC.md. */
export class PodNetwork implements CniHandler {
  readonly #options: PodNetworkOptions;
  readonly #interfaces: InterfaceDriver;
  readonly #pods = new KeyedLock();

  constructor(options: PodNetworkOptions) {
    this.#options = options;
    this.#interfaces = options.interfaces;
  }

  async status(): Promise<void> {
    if (this.#options.isReady()) return;
    const text = 'the agent has not programmed the dataplane yet; see its log if this lasts';
    throw new CniError(CNI_CODE.notAvailable, text);
  }

  async add(request: CniRequest, signal: AbortSignal): Promise<CniResult> {
    const key = requirePod(request);
    return this.#pods.run(keyText(key), () => this.#attach(request, key, signal));
  }

  /** Removes what the container has; a pod or a namespace that is gone is no error. */
  async delete(request: CniRequest): Promise<void> {
    const key = podKeyOf(request.args) ?? (await this.#podOfHandle(handleOf(request)));
    if (key) return this.#pods.run(keyText(key), () => this.#detach(request, key));
    await this.#options.allocator.release({ handle: handleOf(request) });
    return undefined;
  }

  /** Throws with every difference between what the container should have and what it has. */
  async check(request: CniRequest): Promise<void> {
    await this.status();
    const key = requirePod(request);
    const problems: string[] = [];
    const allocations = await this.#options.allocator.allocations();
    const pod = await this.#getPod(key);
    const free = pod && this.#wishesOf(pod, request).withoutIpam;
    const held = allocations.filter(({ handle }) => handle === handleOf(request));
    const addresses = (free ?? held.map(({ address }) => address)).map(hostPrefixText);
    if (addresses.length === 0) problems.push('no address is allocated to the container');
    const owner = pod?.metadata.annotations?.[ANNOTATION.containerID] ?? '';
    if (!pod) problems.push(`there is no pod ${keyText(key)}`);
    else if (owner !== request.containerId) {
      problems.push(`the pod's network belongs to container "${owner}"`);
    }
    const desired = interfaceOf(request, key, addresses);
    problems.push(...(await this.#interfaces.differences(desired)));
    if (problems.length > 0) throw new CniError(CNI_CODE.differs, problems.join('; '));
  }

  /** Detaches every container of this node and network that the runtime no longer knows. */
  async collectGarbage(request: CniRequest): Promise<void> {
    const valid = new Set(request.validAttachments.map(({ containerID }) => containerID));
    const start = `${request.network}.`;
    const allocations = await this.#options.allocator.allocations();
    const handles = allocations.map(({ handle }) => handle).filter((it) => it.startsWith(start));
    for (const handle of new Set(handles)) {
      const containerId = handle.slice(start.length);
      if (!valid.has(containerId)) await this.delete({ ...request, containerId, args: {} });
    }
  }

  async #attach(request: CniRequest, key: PodKey, signal: AbortSignal): Promise<CniResult> {
    if (!this.#options.isReady()) {
      const text = 'the agent has not programmed the dataplane yet; try again';
      throw new CniError(CNI_CODE.tryAgainLater, text);
    }
    signal.throwIfAborted();
    const pod = await this.#requirePod(request, key);
    let desired = interfaceOf(request, key, []);
    let stood: boolean | undefined;
    try {
      const wishes = this.#wishesOf(pod, request);
      const addresses = wishes.withoutIpam ?? (await this.#assign(request, key, wishes));
      const { mac } = wishes;
      desired = { ...interfaceOf(request, key, addresses.map(hostPrefixText)), mac };
      const attached = await this.#interfaces.ensure(desired);
      stood = attached.stood;
      await this.#announce(pod, request.containerId, addresses);
      const { hostName: interfaceName, addresses: prefixes } = desired;
      await this.#options.waitEnforced(
        { id: keyText(key), interfaceName, addresses: prefixes },
        signal,
      );
      return resultOf(desired, attached);
    } catch (error) {
      await this.#undo(request, key, error, async () => {
        // If it is not known what was there: an interface in use is as it should be, one half made is not.
        return stood ?? (await this.#interfaces.differences(desired)).length === 0;
      });
      throw error;
    }
  }

  #wishesOf(pod: Pod, request: CniRequest): Wishes {
    const namespace = pod.metadata.namespace ?? '';
    const inherited = this.#options.namespaceAnnotations?.(namespace) ?? {};
    return wishesOf(pod.metadata.annotations ?? {}, inherited, request);
  }

  #assign(request: CniRequest, key: PodKey, wishes: Wishes): Promise<string[]> {
    const { families, pools, addresses } = wishes;
    return this.#options.allocator.assign({
      handle: handleOf(request),
      attributes: {
        namespace: key.namespace,
        pod: key.name,
        node: this.#options.nodeName,
        timestamp: timestampText(this.#options.now?.() ?? new Date()),
      },
      families,
      pools,
      addresses,
    });
  }

  /** Tells the cluster the pod's addresses; the agents enforce what they then read. */
  async #announce(pod: Pod, containerId: string, addresses: readonly string[]): Promise<void> {
    const { client } = this.#options;
    const { namespace = '', name, uid } = pod.metadata;
    const prefixes = addresses.map(hostPrefixText);
    if (hasStaleStatus(pod, addresses)) {
      const status = { podIP: null, podIPs: null };
      await client.patch(podKind, { namespace, name }, { status }, { subresource: 'status' });
    }
    const annotations = {
      [ANNOTATION.podIP]: prefixes[0],
      [ANNOTATION.podIPs]: prefixes.join(','),
      [ANNOTATION.containerID]: containerId,
    };
    const patched = await client.patch(podKind, { namespace, name }, { metadata: { annotations } });
    if (patched.metadata.uid !== uid) {
      throw new CniError(CNI_CODE.unknownContainer, `pod ${namespace}/${name} was replaced`);
    }
  }

  /** What was there before the call keeps running; DEL removes it when its time comes. */
  async #undo(
    request: CniRequest,
    key: PodKey,
    reason: unknown,
    isInUse: () => Promise<boolean>,
  ): Promise<void> {
    try {
      if (!(await isInUse())) await this.#detach(request, key);
    } catch (error) {
      // DEL, which the runtime calls after a failed ADD, tries again.
      const text = `${String(reason)}; undoing it failed too: ${String(error)}`;
      throw new CniError(CNI_CODE.ioFailure, text, { cause: reason });
    }
  }

  async #detach(request: CniRequest, key: PodKey): Promise<void> {
    const pod = await this.#getPod(key);
    const owner = pod?.metadata.annotations?.[ANNOTATION.containerID];
    await this.#removeInterface(request, key, owner);
    if (pod && owner === request.containerId) await this.#withdraw(key);
    const aliases = [workloadHandleOf(key)];
    await this.#options.allocator.release({ handle: handleOf(request), aliases });
  }

  /** A later container of the same pod has the same interface name: that one must stay. */
  async #removeInterface(
    request: CniRequest,
    key: PodKey,
    owner: string | undefined,
  ): Promise<void> {
    const place = interfaceOf(request, key, []);
    const removal = await this.#interfaces.remove(place, owner === request.containerId);
    if (removal !== 'kept' || (owner !== undefined && owner !== '')) return;
    const allocations = await this.#options.allocator.allocations();
    const isAnothers = allocations.some(
      ({ handle, attributes }) =>
        attributes['namespace'] === key.namespace &&
        attributes['pod'] === key.name &&
        handle !== handleOf(request),
    );
    if (!isAnothers) await this.#interfaces.remove(place, true);
  }

  /** An empty podIP tells the agents that the pod has lost its address (spec 06). */
  async #withdraw(key: PodKey): Promise<void> {
    const annotations = {
      [ANNOTATION.podIP]: '',
      [ANNOTATION.podIPs]: '',
      [ANNOTATION.containerID]: null,
    };
    try {
      await this.#options.client.patch(podKind, key, { metadata: { annotations } });
    } catch (error) {
      if (!(error instanceof ApiError && error.notFound)) throw error;
    }
  }

  async #podOfHandle(handle: string): Promise<PodKey | undefined> {
    const allocations = await this.#options.allocator.allocations();
    const { namespace, pod } = allocations.find((it) => it.handle === handle)?.attributes ?? {};
    return namespace && pod ? { namespace, name: pod } : undefined;
  }

  async #requirePod(request: CniRequest, key: PodKey): Promise<Pod> {
    const { nodeName } = this.#options;
    const pod = await this.#getPod(key);
    const uid = request.args['K8S_POD_UID'];
    const problem =
      pod === undefined
        ? `there is no pod ${keyText(key)}`
        : uid !== undefined && uid !== pod.metadata.uid
          ? `pod ${keyText(key)} with UID ${uid} was replaced by one with UID ${pod.metadata.uid}`
          : pod.spec.nodeName !== nodeName
            ? `pod ${keyText(key)} is bound to node "${pod.spec.nodeName ?? ''}", not "${nodeName}"`
            : undefined;
    if (pod && !problem) return pod;
    throw new CniError(CNI_CODE.unknownContainer, problem ?? '');
  }

  async #getPod(key: PodKey): Promise<Pod | undefined> {
    const resource = await this.#options.client.get(podKind, key);
    return resource && isPod(resource) ? resource : undefined;
  }
}

function isPod(resource: { readonly kind: string }): resource is Pod {
  return resource.kind === 'Pod' && 'spec' in resource;
}

function keyText(key: PodKey): string {
  return `${key.namespace}/${key.name}`;
}

function requirePod(request: CniRequest): PodKey {
  const key = podKeyOf(request.args);
  if (key) return key;
  const text = 'CNI_ARGS names no pod; it needs K8S_POD_NAMESPACE and K8S_POD_NAME';
  throw new CniError(CNI_CODE.invalidEnvironment, text);
}

function interfaceOf(request: CniRequest, key: PodKey, addresses: readonly string[]): PodInterface {
  const { netns, ifname } = request;
  return { hostName: hostInterfaceName(key), netns, ifname, addresses };
}

function resultOf(desired: PodInterface, attached: AttachedInterface): CniResult {
  const { mac, mtu } = attached;
  const families = desired.addresses.map((address) => (address.includes(':') ? 6 : 4));
  return {
    interfaces: [
      { name: desired.hostName, mac: HOST_MAC, mtu },
      { name: desired.ifname, mac, mtu, sandbox: desired.netns },
    ],
    ips: desired.addresses.map((address, index) => {
      const family = families[index] ?? 4;
      return { address, gateway: NEXT_HOP[family], interface: 1 };
    }),
    routes: families.map((family) => ({ dst: DEFAULT_ROUTE[family], gw: NEXT_HOP[family] })),
  };
}
