// A cluster in namespaces for the differential test: two nodes, ten pods, one machine outside.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Pod, podToWorkloadEndpoint, type Resource } from '#api';
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
  writeSysctlInNamespace,
} from '#linux';
import { NODE_ADDRESS, NODES, OUTSIDE, podAddress, PROBED_PORTS } from '../worlds.ts';
import type { ProbeAnswer, ProbeRequest } from './probe.ts';

const PROBE = fileURLToPath(new URL('probe.ts', import.meta.url));
const GATEWAY: Readonly<Record<Family, string>> = { 4: '172.30.0.1', 6: 'fd00:30::1' };
const POD_GATEWAY_MAC = 'ee:ee:ee:ee:ee:ee';
const POD_GATEWAY: Readonly<Record<Family, string>> = {
  4: '169.254.1.1',
  6: 'fe80::ecee:eeff:feee:eeee',
};
const FAMILIES = [4, 6] as const;
/** Machines for pods; a world may use fewer. */
const MACHINES = 10;

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

  async start(): Promise<void> {
    const child = spawn(
      'nsenter',
      [`--net=${this.path}`, process.execPath, PROBE, JSON.stringify(PROBED_PORTS)],
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

interface Node {
  readonly name: (typeof NODES)[number];
  readonly machine: Machine;
  readonly routes: RouteSocket;
  readonly dataplane: Dataplane;
}

/** Everything is made in namespaces named `tortie-x-<pid>-…`, and removed by `remove`. */
export class KernelCluster {
  readonly #underlay: Machine;
  readonly #outside: Machine;
  readonly #nodes: Node[];
  readonly #pods: Machine[];
  readonly #interfaces = new Map<number, string>();

  private constructor() {
    const name = (what: string) => `tortie-x-${process.pid}-${what}`;
    this.#underlay = new Machine(name('underlay'));
    this.#outside = new Machine(name('outside'));
    this.#pods = Array.from({ length: MACHINES }, (_, index) => new Machine(name(`pod-${index}`)));
    this.#nodes = NODES.map((node) => {
      const machine = new Machine(name(node));
      const routes = RouteSocket.open({ namespace: machine.fd });
      const nftables = NftablesSocket.open({ namespace: machine.fd });
      return { name: node, machine, routes, dataplane: new Dataplane({ nftables, routes }) };
    });
    this.#wire();
  }

  static async create(): Promise<KernelCluster> {
    const cluster = new KernelCluster();
    const machines = [
      cluster.#outside,
      ...cluster.#pods,
      ...cluster.#nodes.map((it) => it.machine),
    ];
    await Promise.all(machines.map((machine) => machine.start()));
    return cluster;
  }

  /** Makes both nodes enforce the world. Returns the errors of the applies. */
  enforce(resources: readonly Resource[]): string[] {
    const pods = resources.filter((one): one is Pod => one.kind === 'Pod');
    const errors: string[] = [];
    for (const node of this.#nodes) {
      const calc = new CalcGraph(node.name);
      calc.onUpdates(resources.map(updateOf));
      const state = calc.state();
      // Interfaces appear after policy, as at CNI ADD: the second apply brings their routes.
      const before = node.dataplane.apply(state);
      for (const [index, pod] of pods.entries()) {
        if (pod.spec.nodeName === node.name) this.#attach(node, index, pod);
      }
      const after = node.dataplane.apply(state);
      errors.push(
        ...[...before.errors, ...after.errors].map((one) => `${one.what}: ${one.message}`),
      );
      execFileSync('nsenter', [`--net=${node.machine.path}`, 'conntrack', '-F'], {
        stdio: 'ignore',
      });
    }
    return errors;
  }

  /** `p0` is the machine of the world's first pod, and so on; or a node's name, or `outside`. */
  machine(name: string): Machine {
    if (name === 'outside') return this.#outside;
    const pod = /^p(\d)$/.exec(name)?.[1];
    const machine =
      pod === undefined
        ? this.#nodes.find((node) => node.name === name)?.machine
        : this.#pods[Number(pod)];
    if (!machine) throw new Error(`no machine "${name}"`);
    return machine;
  }

  ruleset(node: string): string {
    const path = this.machine(node).path;
    return execFileSync('nsenter', [`--net=${path}`, 'nft', 'list', 'ruleset'], {
      encoding: 'utf8',
    });
  }

  async remove(): Promise<void> {
    for (const node of this.#nodes) node.dataplane.close();
    const machines = [...this.#pods, ...this.#nodes.map((it) => it.machine), this.#outside];
    for (const machine of [...machines, this.#underlay]) await machine.remove();
  }

  #wire(): void {
    const underlay = RouteSocket.open({ namespace: this.#underlay.fd });
    underlay.setUp('lo');
    underlay.createBridge('br0');
    underlay.setUp('br0');
    forward(this.#underlay.fd);
    for (const family of FAMILIES) {
      const length = family === 4 ? 24 : 64;
      underlay.addAddress('br0', `${GATEWAY[family]}/${length}`, { noDad: true });
    }
    for (const [index, node] of this.#nodes.entries()) {
      this.#join(underlay, `n${index}`, node.machine, NODE_ADDRESS[node.name]);
      forward(node.machine.fd);
    }
    const outsideAddress = { 4: '172.30.0.99', 6: 'fd00:30::99' } as const;
    this.#join(underlay, 'out', this.#outside, outsideAddress);
    const outside = RouteSocket.open({ namespace: this.#outside.fd });
    for (const family of FAMILIES) {
      outside.addAddress('lo', `${OUTSIDE[family]}/${family === 4 ? 32 : 128}`, { noDad: true });
      underlay.replaceRoute(route(family, hostText(OUTSIDE[family]), outsideAddress[family]));
      // Pods and the machine outside speak without translation: its source is its outside address.
      outside.replaceRoute({
        ...route(family, family === 4 ? '0.0.0.0/0' : '::/0', GATEWAY[family]),
        source: OUTSIDE[family],
      });
      for (const node of this.#nodes) {
        const block =
          family === 4
            ? `10.244.${NODES.indexOf(node.name) + 1}.0/26`
            : `fd00:244:${NODES.indexOf(node.name) + 1}::/122`;
        underlay.replaceRoute(route(family, block, NODE_ADDRESS[node.name][family]));
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
        inside.replaceRoute(route(family, family === 4 ? '0.0.0.0/0' : '::/0', GATEWAY[family]));
      }
    }
    inside.close();
  }

  #attach(node: Node, index: number, pod: Pod): void {
    const name = podToWorkloadEndpoint(pod)?.spec.interfaceName ?? '';
    if (this.#interfaces.get(index) === name) return;
    const machine = this.#pods[index];
    if (!machine) throw new Error(`no pod ${index}`);
    const old = this.#interfaces.get(index);
    if (old !== undefined) node.routes.deleteLink(old);
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
    for (const family of FAMILIES) {
      inside.addAddress('eth0', hostText(podAddress(index, family)), { noDad: true });
      inside.replaceNeighbour({ link: 'eth0', address: POD_GATEWAY[family], mac: POD_GATEWAY_MAC });
      inside.replaceRoute({
        ...route(family, family === 4 ? '0.0.0.0/0' : '::/0', POD_GATEWAY[family]),
        interface: 'eth0',
        onLink: true,
      });
    }
    inside.close();
    this.#interfaces.set(index, name);
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
