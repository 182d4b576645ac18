// A router namespace that a dataplane rules over, with pods behind it, for the kernel tests of dataplane.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import type {
  DataplanePolicy,
  DataplaneRule,
  DataplaneState,
  LocalEndpoint,
} from '#calc/dataplane-update';
import { BARE_STATE, policyKey } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import type { Family } from '#lib';
import {
  NftablesSocket,
  RouteSocket,
  createNamespace,
  deleteNamespace,
  openNamespace,
  sysctlsOfNamespace,
  writeSysctlInNamespace,
} from '#linux';
import type { ProbeAnswer, ProbeRequest } from './probe.ts';

const PROBE = fileURLToPath(new URL('probe.ts', import.meta.url));
const SERVED = [
  { protocol: 'tcp', port: 80 },
  { protocol: 'tcp', port: 8080 },
  { protocol: 'udp', port: 53 },
];
const ROUTER_MAC = 'ee:ee:ee:ee:ee:ee';
const GATEWAY: Readonly<Record<Family, string>> = {
  4: '169.254.1.1',
  6: 'fe80::ecee:eeff:feee:eeee',
};
const DEFAULT_ROUTE: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

/** The router's own address. */
export const HOST_ADDRESS: Readonly<Record<Family, string>> = { 4: '10.99.99.99', 6: 'fd99::99' };
const HOST_PREFIXES = [`${HOST_ADDRESS[4]}/32`, `${HOST_ADDRESS[6]}/128`];

let count = 0;

/** Address of pod n: 10.65.0.n or fd65::n. */
export function podAddress(pod: number, family: Family): string {
  return family === 4 ? `10.65.0.${pod}` : `fd65::${pod}`;
}

/** Name of pod n's interface at the router. */
export function podInterface(pod: number): string {
  return `cali000000000${pod}`;
}

/** Both host prefixes of pod n. */
export function podPrefixes(pod: number): string[] {
  return [`${podAddress(pod, 4)}/32`, `${podAddress(pod, 6)}/128`];
}

/** A namespace, and the probing process in it once `start` was called. */
export class Machine {
  readonly name: string;
  readonly path: string;
  readonly fd: number;
  #process: ChildProcess | undefined;
  #next = 0;

  constructor(t: TestContext) {
    this.name = `tortie-d-${process.pid}-${++count}`;
    this.path = `/run/netns/${this.name}`;
    createNamespace(this.path);
    this.fd = openNamespace(this.path);
    t.after(() => this.#remove());
  }

  async start(): Promise<void> {
    const argv = [`--net=${this.path}`, process.execPath, PROBE, JSON.stringify(SERVED)];
    const child = spawn('nsenter', argv, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#process = child;
    await once(child, 'message');
  }

  /** Runs a program inside and returns its output. */
  run(program: string, ...args: string[]): string {
    return execFileSync('nsenter', [`--net=${this.path}`, program, ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Whether one ICMP echo is answered within a second. */
  pings(address: string, ...options: string[]): boolean {
    try {
      this.run('ping', '-n', '-c', '1', '-W', '1', ...options, address);
      return true;
    } catch {
      return false;
    }
  }

  async probe(
    protocol: 'tcp' | 'udp',
    address: string,
    port: number,
    timeoutMs = 700,
  ): Promise<ProbeAnswer['outcome']> {
    const child = this.#process;
    if (!child) throw new Error(`nothing runs in ${this.name}`);
    const request: ProbeRequest = { id: this.#next++, protocol, address, port, timeoutMs };
    const { promise, resolve } = Promise.withResolvers<ProbeAnswer['outcome']>();
    const listen = (answer: ProbeAnswer) => {
      if (answer.id !== request.id) return;
      child.off('message', listen);
      resolve(answer.outcome);
    };
    child.on('message', listen);
    child.send(request);
    return promise;
  }

  async #remove(): Promise<void> {
    const child = this.#process;
    if (child && child.exitCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    closeSync(this.fd);
    deleteNamespace(this.path);
  }
}

/** A router with pods 1…n, all of them attached. */
export interface Router {
  readonly machine: Machine;
  readonly pods: readonly Machine[];
  readonly routes: RouteSocket;
  /** A dataplane as a new process would make it. */
  readonly start: (log?: (message: string) => void) => Dataplane;
}

/** Router and pods serve TCP 80, 8080 and UDP 53. */
export async function makeRouter(t: TestContext, podCount: number): Promise<Router> {
  const router = makeSilentRouter(t, podCount);
  for (const prefix of HOST_PREFIXES) router.routes.addAddress('lo', prefix, { noDad: true });
  await Promise.all([router.machine, ...router.pods].map((one) => one.start()));
  return router;
}

/** No process runs in any of its machines. */
export function makeSilentRouter(t: TestContext, podCount: number): Router {
  const machine = new Machine(t);
  const routes = RouteSocket.open({ namespace: machine.fd });
  t.after(() => routes.close());
  routes.setUp('lo');
  writeSysctlInNamespace(machine.fd, 'net/ipv4/ip_forward', 1);
  writeSysctlInNamespace(machine.fd, 'net/ipv6/conf/all/forwarding', 1);
  const pods = Array.from({ length: podCount }, () => new Machine(t));
  for (const [index, pod] of pods.entries()) attachPod(machine, routes, pod, index + 1);
  const start = (log?: (message: string) => void) => {
    const dataplane = new Dataplane({
      nftables: NftablesSocket.open({ namespace: machine.fd }),
      routes: RouteSocket.open({ namespace: machine.fd }),
      sysctls: sysctlsOfNamespace(machine.fd),
      ...(log && { log }),
    });
    t.after(() => dataplane.close());
    return dataplane;
  };
  return { machine, pods, routes, start };
}

/** Joins a pod to the router as CNI does, under an interface name of its own where given. */
export function attachPod(
  router: Machine,
  routes: RouteSocket,
  pod: Machine,
  number: number,
  name = podInterface(number),
): void {
  routes.createVeth({ name, peerName: 'eth0', peerNamespace: pod.fd, mac: ROUTER_MAC });
  writeSysctlInNamespace(router.fd, `net/ipv6/conf/${name}/accept_dad`, 0);
  routes.setUp(name);
  writeSysctlInNamespace(router.fd, `net/ipv4/conf/${name}/proxy_arp`, 1);
  writeSysctlInNamespace(router.fd, `net/ipv4/neigh/${name}/proxy_delay`, 0);
  writeSysctlInNamespace(pod.fd, 'net/ipv6/conf/eth0/accept_dad', 0);
  const inside = RouteSocket.open({ namespace: pod.fd });
  inside.setUp('lo');
  inside.setUp('eth0');
  for (const family of [4, 6] as const) {
    const prefix = `${podAddress(number, family)}/${family === 4 ? 32 : 128}`;
    inside.addAddress('eth0', prefix, { noDad: true });
    inside.replaceNeighbour({ link: 'eth0', address: GATEWAY[family], mac: ROUTER_MAC });
    inside.replaceRoute({
      family,
      destination: DEFAULT_ROUTE[family],
      gateway: GATEWAY[family],
      interface: 'eth0',
      onLink: true,
      table: 254,
      protocol: 4,
      type: 'unicast',
    });
  }
  inside.close();
}

/** A rule without conditions but those given. */
export function rule(
  action: DataplaneRule['action'],
  more: Partial<DataplaneRule> = {},
): DataplaneRule {
  const any = { ipSets: [], notIpSets: [] };
  return { action, index: 0, source: any, destination: any, ...more };
}

/** A policy of the tier `default` in the namespace `default`. */
export function policy(name: string, more: Partial<DataplanePolicy>): DataplanePolicy {
  const id = { kind: 'NetworkPolicy', namespace: 'default', name } as const;
  return { id, tier: 'default', ingress: [], egress: [], ...more };
}

export const ALLOW_ALL: DataplanePolicy = {
  id: { kind: 'Profile', namespace: null, name: 'kns.default' },
  tier: '',
  ingress: [rule('Allow')],
  egress: [rule('Allow')],
};

/** Endpoint of pod n, with the profile that allows everything. */
export function endpoint(pod: number, more: Partial<LocalEndpoint> = {}): LocalEndpoint {
  return {
    id: `default/pod-${pod}`,
    interfaceName: podInterface(pod),
    addresses: podPrefixes(pod),
    allowedSources: [],
    floatingAddresses: [],
    ingress: [],
    egress: [],
    profiles: [policyKey(ALLOW_ALL.id)],
    ...more,
  };
}

/** A state of these endpoints and policies (the profile is there always). */
export function stateOf(
  endpoints: readonly LocalEndpoint[],
  policies: readonly DataplanePolicy[] = [],
  more: Partial<DataplaneState> = {},
): DataplaneState {
  return {
    ...BARE_STATE,
    policies: new Map([...policies, ALLOW_ALL].map((one) => [policyKey(one.id), one])),
    endpoints: new Map(endpoints.map((one) => [one.id, one])),
    ...more,
  };
}

/** One tier named `default` that denies at its end. */
export function tierOf(...policies: readonly DataplanePolicy[]) {
  return {
    name: 'default',
    defaultAction: 'Deny',
    policies: policies.map((one) => policyKey(one.id)),
  } as const;
}
