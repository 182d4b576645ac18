// A cluster in namespaces for tests against the kernel: nodes, pods, and one machine outside.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { podToWorkloadEndpoint, type Resource } from '#api';
import { CalcGraph } from '#calc';
import { Dataplane } from '#dataplane';
import type { SyncerUpdate } from '#datastore/syncer';
import { kindOf } from '#api';
import type { Family } from '#lib';
import {
  createNamespace,
  deleteNamespace,
  NftablesSocket,
  openNamespace,
  RouteSocket,
  sysctlsOfNamespace,
  writeSysctlInNamespace,
} from '#linux';
import { type ClusterLayout, type LayoutNode, WORLDS_LAYOUT } from './cluster-layout.ts';
import type { ProbeAnswer, ProbeRequest } from './probe.ts';
import { podsOf } from '../worlds.ts';

const PROBE = fileURLToPath(new URL('probe.ts', import.meta.url));
const POD_GATEWAY_MAC = 'ee:ee:ee:ee:ee:ee';
const POD_GATEWAY: Readonly<Record<Family, string>> = {
  4: '169.254.1.1',
  6: 'fe80::ecee:eeff:feee:eeee',
};
const FAMILIES = [4, 6] as const;

/** One namespace with a probing process in it. */
class Machine {
  readonly path: string;
  readonly fd: number;
  readonly #waiting = new Map<number, (outcome: ProbeAnswer['outcome']) => void>();
  #process: ChildProcess | undefined;
  #next = 0;

  constructor(name: string) {
    this.path = `/run/netns/${name}`;
    createNamespace(this.path);
    this.fd = openNamespace(this.path);
  }

  async start(served: ClusterLayout['served']): Promise<void> {
    const child = spawn(
      'nsenter',
      [`--net=${this.path}`, process.execPath, PROBE, JSON.stringify(served)],
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
    );
    this.#process = child;
    await once(child, 'message');
    child.on('message', (answer: ProbeAnswer) => this.#waiting.get(answer.id)?.(answer.outcome));
  }

  probe(request: Omit<ProbeRequest, 'id'>): Promise<ProbeAnswer['outcome']> {
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#waiting.set(id, (outcome) => {
        this.#waiting.delete(id);
        resolve(outcome);
      });
      this.#process?.send({ ...request, id });
    });
  }

  async remove(): Promise<void> {
    const child = this.#process;
    if (child && child.exitCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    deleteNamespace(this.path);
  }
}

interface Node extends LayoutNode {
  readonly machine: Machine;
  readonly routes: RouteSocket;
  readonly dataplane: Dataplane;
}

interface Attachment {
  /** Of everything in it, to compare. */
  readonly key: string;
  readonly node: Node;
  readonly interfaceName: string;
  readonly addresses: readonly string[];
}

let clusters = 0;

/** Everything is made in namespaces named `tortie-x-<pid>-<number>-…`, and removed by `remove`. */
export class KernelCluster {
  readonly #layout: ClusterLayout;
  readonly #number = clusters++;
  readonly #made: Machine[] = [];
  readonly #nodes: Node[] = [];
  readonly #pods: Machine[] = [];
  /** By the index of the pod's machine. */
  readonly #attached = new Map<number, Attachment>();
  /** The index of the machine of each `namespace/name`. */
  #podIndex: ReadonlyMap<string, number> = new Map();
  #outside: Machine | undefined;

  private constructor(layout: ClusterLayout) {
    this.#layout = layout;
  }

  static async create(layout: ClusterLayout = WORLDS_LAYOUT): Promise<KernelCluster> {
    const cluster = new KernelCluster(layout);
    try {
      const started = cluster.#build();
      await Promise.all(started.map((machine) => machine.start(layout.served)));
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** Makes every node enforce the world. Returns the errors of the applies. */
  enforce(resources: readonly Resource[]): string[] {
    const wanted = this.#attachments(resources);
    for (const [index, { key, node, interfaceName }] of this.#attached) {
      if (wanted.get(index)?.key === key) continue;
      node.routes.deleteLink(interfaceName);
      this.#attached.delete(index);
    }
    const errors: string[] = [];
    for (const node of this.#nodes) {
      const calc = new CalcGraph(node.name);
      calc.onUpdates(resources.map(updateOf));
      const state = calc.state();
      // Interfaces appear after policy, as at CNI ADD: the second apply brings their routes.
      const before = node.dataplane.apply(state);
      for (const [index, attachment] of wanted) {
        if (attachment.node === node && !this.#attached.has(index)) this.#attach(index, attachment);
      }
      const after = node.dataplane.apply(state);
      errors.push(
        ...[...before.errors, ...after.errors].map((one) => `${one.what}: ${one.message}`),
      );
      this.run(node.name, 'conntrack', '-F');
    }
    return errors;
  }

  /**
   * The machine of a pod: `namespace/name`, or `p0` for the world's first pod and so on; or a
   * node's name, or `outside`.
   */
  machine(name: string): Machine {
    const index = this.#podIndex.get(name) ?? /^p(\d+)$/.exec(name)?.[1];
    const machine =
      index === undefined
        ? this.#nodes.find((node) => node.name === name)?.machine
        : this.#pods[Number(index)];
    const found = name === 'outside' ? this.#outside : machine;
    if (!found) throw new Error(`no machine "${name}"`);
    return found;
  }

  /** Runs a program in a machine's namespace; its output. */
  run(name: string, program: string, ...args: string[]): string {
    return execFileSync('nsenter', [`--net=${this.machine(name).path}`, program, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  }

  ruleset(node: string): string {
    return this.run(node, 'nft', 'list', 'ruleset');
  }

  async remove(): Promise<void> {
    for (const node of this.#nodes) node.dataplane.close();
    for (const machine of this.#made.toReversed()) await machine.remove();
  }

  /** Returns the machines in which a process shall run. */
  #build(): Machine[] {
    const underlay = this.#make('underlay');
    this.#outside = this.#make('outside');
    for (let index = 0; index < this.#layout.machines; index++) {
      this.#pods.push(this.#make(`pod-${index}`));
    }
    for (const node of this.#layout.nodes) {
      const machine = this.#make(node.name);
      const routes = RouteSocket.open({ namespace: machine.fd });
      const nftables = NftablesSocket.open({ namespace: machine.fd });
      this.#nodes.push({
        ...node,
        machine,
        routes,
        dataplane: new Dataplane({ nftables, routes, sysctls: sysctlsOfNamespace(machine.fd) }),
      });
    }
    this.#wire(underlay, this.#outside);
    return this.#made.filter((machine) => machine !== underlay);
  }

  #make(name: string): Machine {
    const machine = new Machine(`tortie-x-${process.pid}-${this.#number}-${name}`);
    this.#made.push(machine);
    return machine;
  }

  #wire(underlayMachine: Machine, outsideMachine: Machine): void {
    const { gateway, outside: outsideAddress, outsideOnLink } = this.#layout;
    const underlay = RouteSocket.open({ namespace: underlayMachine.fd });
    underlay.setUp('lo');
    underlay.createBridge('br0');
    underlay.setUp('br0');
    forward(underlayMachine.fd);
    for (const family of FAMILIES) {
      const length = family === 4 ? 24 : 64;
      underlay.addAddress('br0', `${gateway[family]}/${length}`, { noDad: true });
    }
    for (const [index, node] of this.#nodes.entries()) {
      this.#join(underlay, `n${index}`, node.machine, node.address);
      forward(node.machine.fd);
    }
    this.#join(underlay, 'out', outsideMachine, outsideOnLink);
    const outside = RouteSocket.open({ namespace: outsideMachine.fd });
    for (const family of FAMILIES) {
      const host = hostText(outsideAddress[family]);
      outside.addAddress('lo', host, { noDad: true });
      underlay.replaceRoute(route(family, host, outsideOnLink[family]));
      // Pods and the machine outside speak without translation: its source is its outside address.
      outside.replaceRoute({
        ...route(family, family === 4 ? '0.0.0.0/0' : '::/0', gateway[family]),
        source: outsideAddress[family],
      });
      // To the nodes too, which are neighbours.
      for (const { address } of this.#nodes) {
        const { gateway: _, ...direct } = route(family, hostText(address[family]), '');
        const source = outsideAddress[family];
        outside.replaceRoute({ ...direct, interface: 'eth0', source });
      }
    }
    for (const { address, blocks } of this.#nodes) {
      for (const block of blocks) {
        const family = block.includes(':') ? 6 : 4;
        underlay.replaceRoute(route(family, block, address[family]));
      }
    }
    outside.close();
    underlay.close();
  }

  #join(
    underlay: RouteSocket,
    port: string,
    machine: Machine,
    address: Record<Family, string>,
  ): void {
    underlay.createVeth({ name: port, peerName: 'eth0', peerNamespace: machine.fd });
    underlay.setMaster(port, 'br0');
    underlay.setUp(port);
    const inside = RouteSocket.open({ namespace: machine.fd });
    inside.setUp('lo');
    inside.setUp('eth0');
    for (const family of FAMILIES) {
      inside.addAddress('eth0', `${address[family]}/${family === 4 ? 24 : 64}`, { noDad: true });
      if (port !== 'out') {
        const everything = family === 4 ? '0.0.0.0/0' : '::/0';
        inside.replaceRoute(route(family, everything, this.#layout.gateway[family]));
      }
    }
    inside.close();
  }

  #attachments(resources: readonly Resource[]): Map<number, Attachment> {
    const pods = podsOf(resources);
    this.#podIndex = new Map(
      pods.map(({ metadata }, index) => [`${metadata.namespace}/${metadata.name}`, index]),
    );
    const attachments = new Map<number, Attachment>();
    for (const [index, pod] of pods.entries()) {
      const node = this.#nodes.find((one) => one.name === pod.spec.nodeName);
      const interfaceName = podToWorkloadEndpoint(pod)?.spec.interfaceName;
      if (!node || interfaceName === undefined) continue;
      const addresses = (pod.status?.podIPs ?? []).map((one) => one.ip);
      const key = [node.name, interfaceName, ...addresses].join(' ');
      attachments.set(index, { key, node, interfaceName, addresses });
    }
    return attachments;
  }

  #attach(index: number, attachment: Attachment): void {
    const { node, interfaceName: name, addresses } = attachment;
    const machine = this.#pods[index];
    if (!machine) throw new Error(`no pod ${index}`);
    node.routes.createVeth({
      name,
      peerName: 'eth0',
      peerNamespace: machine.fd,
      mac: POD_GATEWAY_MAC,
    });
    // Duplicate address detection would hold IPv6 up for a second or two.
    writeSysctlInNamespace(node.machine.fd, `net/ipv6/conf/${name}/accept_dad`, 0);
    writeSysctlInNamespace(machine.fd, 'net/ipv6/conf/eth0/accept_dad', 0);
    node.routes.setUp(name);
    writeSysctlInNamespace(node.machine.fd, `net/ipv4/conf/${name}/proxy_arp`, 1);
    writeSysctlInNamespace(node.machine.fd, `net/ipv4/neigh/${name}/proxy_delay`, 0);
    const inside = RouteSocket.open({ namespace: machine.fd });
    inside.setUp('lo');
    inside.setUp('eth0');
    for (const address of addresses) {
      const family = address.includes(':') ? 6 : 4;
      inside.addAddress('eth0', hostText(address), { noDad: true });
      inside.replaceNeighbour({ link: 'eth0', address: POD_GATEWAY[family], mac: POD_GATEWAY_MAC });
      inside.replaceRoute({
        ...route(family, family === 4 ? '0.0.0.0/0' : '::/0', POD_GATEWAY[family]),
        interface: 'eth0',
        onLink: true,
      });
    }
    inside.close();
    this.#attached.set(index, attachment);
  }
}

function forward(fd: number): void {
  writeSysctlInNamespace(fd, 'net/ipv4/ip_forward', 1);
  writeSysctlInNamespace(fd, 'net/ipv6/conf/all/forwarding', 1);
}

function hostText(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}

function route(family: Family, destination: string, gateway: string) {
  return { family, destination, gateway, table: 254, protocol: 4, type: 'unicast' } as const;
}

function updateOf(resource: Resource): SyncerUpdate {
  const kind = kindOf(resource.apiVersion, resource.kind);
  if (!kind) throw new Error(`no kind ${resource.apiVersion} ${resource.kind}`);
  const { namespace = '', name } = resource.metadata;
  return { kind, key: `${resource.apiVersion}/${resource.kind} ${namespace}/${name}`, resource };
}
