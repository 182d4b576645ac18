// A whole node without its API server, for tests of churn: pods come and go as a runtime would have it.
import type { TestContext } from 'node:test';
import { ApplyLoop, type ApplyReport as LoopReport, StaleConnections } from '#agent';
import { kindOf, type Pod, type Resource } from '#api';
import { CalcGraph } from '#calc';
import { PodNetwork, VethDriver } from '#cni';
import { Dataplane } from '#dataplane';
import { resourceKey, type SyncerUpdate } from '#datastore/syncer';
import { BlockAllocator, Inventory } from '#ipam';
import {
  ConntrackSocket,
  NftablesSocket,
  RouteSocket,
  sysctlsOfNamespace,
  writeSysctlInNamespace,
} from '#linux';
import { MemoryApi } from './cni-memory-api.ts';
import { Machine } from './dataplane-router.ts';
import { Sandboxes } from './sandboxes.ts';

const HOST = 'node-0';
/** Local pods of one Kubernetes namespace; each namespace has its part of the policies. */
const PODS_A_SPACE = 10;
/** Pods of other nodes for each of this node's, so that sets hold more than what is local. */
const REMOTE = 3;
/** How many of a namespace's policies have rules of either form. */
const ANY_PORT_EVERY = 50;
const NETS_EVERY = 10;
const PORTS = 40;
const NEVER = new AbortController().signal;

export const WEB_PORT = 80;
/** Pods of the first namespace may reach every pod at WEB_PORT; those of the second nothing. */
export const FRIEND = 'friend';
export const STRANGER = 'stranger';

export interface ChurnPod {
  readonly number: number;
  readonly space: string;
  readonly name: string;
  readonly netns: string;
  /** Without length; IPv4 first. */
  addresses: readonly string[];
}

export interface ChurnNodeOptions {
  /** Local pods that the cluster is made for. */
  readonly pods: number;
  readonly policies: number;
  readonly onApplied?: (ms: number, report: LoopReport) => void;
}

function resource(apiVersion: string, kind: string, path: string, rest: object): Resource {
  const [name = '', namespace] = path.split('/').reverse();
  const metadata = { name, ...(namespace !== undefined && { namespace }) };
  return { apiVersion, kind, metadata, ...rest };
}

function updateOf(present: Resource): SyncerUpdate {
  const { apiVersion, kind, metadata } = present;
  const definition = kindOf(apiVersion, kind);
  if (!definition) throw new Error(`no kind ${apiVersion} ${kind}`);
  const key = resourceKey(definition, metadata);
  return { kind: definition, key, resource: present };
}

const spacesOf = ({ pods }: ChurnNodeOptions): number =>
  Math.max(1, Math.round(pods / PODS_A_SPACE));
const spaceName = (number: number): string => `s${number}`;
const namedSpace = (name: string) => `projectcalico.org/name == "${name}"`;

function policyOf(index: number, spaces: number): Resource {
  const space = index % spaces;
  const turn = Math.trunc(index / spaces);
  // No two let in the same at the same port: each has something to decide.
  const source = { namespaceSelector: namedSpace(spaceName((space + turn) % spaces)) };
  const ports = [8000 + (turn % PORTS)];
  const nets = [`10.${100 + (turn % 100)}.0.0/16`];
  const tcp = { action: 'Allow', protocol: 'TCP', source, destination: { ports } };
  const udp = { action: 'Allow', protocol: 'UDP', destination: { ports } };
  const rules =
    turn % NETS_EVERY === 0
      ? [{ action: 'Allow', source: { nets } }]
      : turn % ANY_PORT_EVERY === 1
        ? [{ action: 'Allow', source }]
        : [tcp, udp];
  return resource('projectcalico.org/v3', 'NetworkPolicy', `${spaceName(space)}/p${index}`, {
    spec: { selector: 'all()', types: ['Ingress', 'Egress'], ingress: rules, egress: [ALLOW] },
  });
}

const ALLOW = { action: 'Allow' };

/** Lets friends in at one port, in every namespace of the churn. */
const FRIENDS = resource('projectcalico.org/v3', 'GlobalNetworkPolicy', 'friends', {
  spec: {
    namespaceSelector: 'projectcalico.org/name starts with "s" && churn == "yes"',
    types: ['Ingress', 'Egress'],
    ingress: [
      {
        action: 'Allow',
        protocol: 'TCP',
        source: { namespaceSelector: namedSpace(FRIEND) },
        destination: { ports: [WEB_PORT] },
      },
    ],
    egress: [ALLOW],
  },
});

function remotePod(index: number, spaces: number): Resource {
  const ip = `10.200.${index >> 8}.${index & 255}`;
  return resource('v1', 'Pod', `${spaceName(index % spaces)}/remote${index}`, {
    spec: { nodeName: 'node-1', containers: [{ name: 'main' }] },
    status: { phase: 'Running', podIPs: [{ ip }] },
  });
}

function clusterOf(options: ChurnNodeOptions): Resource[] {
  const { pods, policies } = options;
  const count = spacesOf(options);
  const spaces = Array.from({ length: count }, (_, index) => {
    const name = spaceName(index);
    return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { churn: 'yes' } } };
  });
  return [
    ...spaces,
    resource('v1', 'Namespace', FRIEND, {}),
    resource('v1', 'Namespace', STRANGER, {}),
    FRIENDS,
    ...Array.from({ length: policies }, (_, index) => policyOf(index, count)),
    ...Array.from({ length: REMOTE * pods }, (_, index) => remotePod(index, count)),
  ];
}

/** Every part of the agent that stands between a CNI request and the kernel, as `tortie node` joins them. */
export class ChurnNode {
  readonly machine: Machine;
  readonly routes: RouteSocket;
  readonly dataplane: Dataplane;
  readonly loop: ApplyLoop;
  readonly network: PodNetwork;
  /** What the kernel refused. */
  readonly errors: string[] = [];
  readonly #api = new MemoryApi();
  readonly #sandboxes: Sandboxes;
  readonly #t: TestContext;
  readonly #spaces: number;

  constructor(t: TestContext, options: ChurnNodeOptions) {
    this.#t = t;
    this.#spaces = spacesOf(options);
    this.#sandboxes = new Sandboxes(t);
    this.machine = new Machine(t);
    const namespace = this.machine.fd;
    this.routes = RouteSocket.open({ namespace });
    t.after(() => this.routes.close());
    this.routes.setUp('lo');
    writeSysctlInNamespace(namespace, 'net/netfilter/nf_conntrack_acct', 1);
    const graph = new CalcGraph(HOST);
    this.dataplane = new Dataplane({
      nftables: NftablesSocket.open({ namespace }),
      routes: RouteSocket.open({ namespace }),
      sysctls: sysctlsOfNamespace(namespace),
    });
    t.after(() => this.dataplane.close());
    const connections = ConntrackSocket.open({ namespace, events: [] });
    const stale = new StaleConnections(connections);
    t.after(() => {
      stale.stop();
      connections.close();
    });
    let took = 0;
    this.loop = new ApplyLoop({
      calculation: graph,
      enforcer: {
        apply: (state) => {
          const begun = performance.now();
          const report = this.dataplane.apply(state);
          took = performance.now() - begun;
          return report;
        },
        isEnforced: (id) => this.dataplane.isEnforced(id),
        resync: () => this.dataplane.resync(),
      },
      onApplied: (state, report) => {
        stale.onApplied(state);
        this.errors.push(...report.errors.map(({ what, message }) => `${what}: ${message}`));
        options.onApplied?.(took, report);
      },
    });
    t.after(() => this.loop.stop());
    const inventory = new Inventory(this.#api, {});
    this.#api.onChange = (change) => {
      const update = updateOf(change.resource);
      const updates = [change.isGone ? { ...update, resource: undefined } : update];
      inventory.onUpdates(updates);
      this.loop.onUpdates(updates);
    };
    inventory.setFed(true);
    const interfaces = new VethDriver({ namespace });
    t.after(() => interfaces.close());
    const client = this.#api;
    this.network = new PodNetwork({
      nodeName: HOST,
      client,
      allocator: new BlockAllocator({ client, nodeName: HOST, inventory }),
      waitEnforced: (endpoint, signal) => this.loop.waitEnforced(endpoint, signal),
      isReady: () => this.loop.ready,
      interfaces,
    });
    this.loop.onUpdates(clusterOf(options).map(updateOf));
    // Big blocks: a node has twenty at most.
    const pools = { v4: ['10.64.0.0/16', 24], v6: ['fd64::/112', 120] } as const;
    for (const [name, [cidr, blockSize]] of Object.entries(pools)) {
      const spec = { cidr, blockSize };
      this.#api.put(resource('projectcalico.org/v3', 'IPPool', name, { spec }));
    }
    this.loop.onStatus('in-sync');
  }

  /** The Pod is bound to the node, its sandbox is made. */
  async place(number: number): Promise<ChurnPod> {
    const netns = `/run/netns/tortie-c-${process.pid}-${number}`;
    await this.#sandboxes.make(netns);
    return this.#bind(number, spaceName(number % this.#spaces), netns);
  }

  #bind(number: number, space: string, netns: string): ChurnPod {
    const name = `pod${number}`;
    this.#api.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: space, uid: `uid-${space}-${number}` },
      spec: { nodeName: HOST, containers: [{ name: 'main' }] },
      status: { phase: 'Pending' },
    } as Pod);
    return { number, space, name, netns, addresses: [] };
  }

  /** CNI ADD: when it is answered, policy is in force. */
  async attach(pod: ChurnPod): Promise<void> {
    const { ips } = await this.network.add({ command: 'ADD', ...requestOf(pod) }, NEVER);
    pod.addresses = ips.map(({ address }) => address.split('/')[0] ?? '');
  }

  /** CNI DEL. */
  detach(pod: ChurnPod): Promise<void> {
    return this.network.delete({ command: 'DEL', ...requestOf(pod) });
  }

  /** The end of the sandbox and of the Pod, which was detached. */
  async remove(pod: ChurnPod): Promise<void> {
    await this.#sandboxes.remove(pod.netns);
    this.#api.remove('Pod', { namespace: pod.space, name: pod.name });
  }

  /** A pod that stays, with a process that probes others. */
  async prober(space: string): Promise<Machine> {
    const machine = new Machine(this.#t);
    await this.attach(this.#bind(0, space, machine.path));
    await machine.start();
    return machine;
  }
}

function requestOf({ space, name, netns }: ChurnPod) {
  return {
    containerId: `c-${space}-${name}`,
    args: { K8S_POD_NAMESPACE: space, K8S_POD_NAME: name },
    network: 'k8s-pod-network',
    netns,
    ifname: 'eth0',
    validAttachments: [],
  };
}
