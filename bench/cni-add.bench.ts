// Start of the CNI plugin against bare Node, and the agent's share of ADD and DEL (needs root).
import { execFileSync } from 'node:child_process';
import type { Pod, Resource } from '#api';
import { type AwaitedEndpoint, PodNetwork, VethDriver } from '#cni';
import { BlockAllocator } from '#ipam';
import { parsePrefix } from '#lib';
import { ROUTE_PROTOCOL, ROUTE_TABLE } from '#linux';
import { MemoryApi } from '../test/kernel/cni-memory-api.ts';
import { median, printFigure, printMachine, timed, timedAsync } from './measurement.ts';
import { type Host, type Scratch, withScratch } from './scratch.ts';

const STARTS = 15;
const PODS = 20;
const ROUNDS = 3;
const LAUNCHER = new URL('../bin/tortie', import.meta.url).pathname;

function starts(): void {
  const input = JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'tortie' });
  const env = { PATH: process.env['PATH'], CNI_COMMAND: 'VERSION' };
  const plugin = () => execFileSync(LAUNCHER, [], { env, input });
  const bare = () => execFileSync(process.execPath, ['-e', '0'], { env, input });
  plugin();
  bare();
  const times = Array.from({ length: STARTS }, () => [timed(plugin), timed(bare)] as const);
  const ms = (which: 0 | 1) => median(times.map((each) => each[which])) * 1000;
  printFigure('bare "node -e 0"', ms(1), 'ms');
  printFigure('plugin process, VERSION', ms(0), 'ms', { name: '"node -e 0"', figure: ms(1) });
}

type Routed = Pick<AwaitedEndpoint, 'addresses' | 'interfaceName'>;

/** What the dataplane does for an endpoint at the least: the routes to it. */
function route(host: Host, { addresses, interfaceName }: Routed): void {
  for (const destination of addresses) {
    host.route.replaceRoute({
      family: parsePrefix(destination)?.family ?? 4,
      destination,
      interface: interfaceName,
      table: ROUTE_TABLE.MAIN,
      protocol: ROUTE_PROTOCOL.TORTIE,
      type: 'unicast',
    });
  }
}

function agent(scratch: Scratch, host: Host): PodNetwork {
  const api = new MemoryApi();
  const pools = [
    ['v4', '10.65.0.0/24'],
    ['v6', 'fd00:65::/112'],
  ] as const;
  for (const [name, cidr] of pools) {
    const apiVersion = 'projectcalico.org/v3';
    api.put({ apiVersion, kind: 'IPPool', metadata: { name }, spec: { cidr } } as Resource);
  }
  for (let index = 0; index < PODS; index++) {
    const metadata = { namespace: 'shop', name: `p${index}`, uid: `uid-${index}` };
    const spec = { nodeName: 'node-1', containers: [] };
    api.put({ apiVersion: 'v1', kind: 'Pod', metadata, spec } as Pod);
  }
  const interfaces = new VethDriver({ namespace: host.fd });
  scratch.later(() => interfaces.close());
  return new PodNetwork({
    nodeName: 'node-1',
    client: api,
    allocator: new BlockAllocator({ client: api, nodeName: 'node-1' }),
    waitEnforced: async (endpoint) => route(host, endpoint),
    isReady: () => true,
    interfaces,
  });
}

function requestOf(index: number, netns: string) {
  const args = { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: `p${index}` };
  const place = { network: 'k8s-pod-network', netns, ifname: 'eth0' };
  return { containerId: `c${index}`, args, ...place, validAttachments: [] };
}

/** The same veth, addresses and routes at one end, without anything around them. */
function bareAdd(host: Host, pod: Host, index: number): void {
  const name = `bare${index}`;
  host.route.createVeth({ name, peerName: 'eth0', peerNamespace: pod.fd });
  host.route.setUp(name);
  pod.route.setUp('eth0');
  const addresses = [`10.66.0.${index + 1}/32`, `fd00:66::${index + 1}/128`];
  for (const address of addresses) pod.route.addAddress('eth0', address, { noDad: true });
  route(host, { addresses, interfaceName: name });
}

async function shares(scratch: Scratch): Promise<void> {
  const host = scratch.host();
  const network = agent(scratch, host);
  const pods = Array.from({ length: PODS }, () => scratch.host());
  const never = new AbortController().signal;
  const add = (pod: Host, index: number) =>
    network.add({ command: 'ADD', ...requestOf(index, pod.path) }, never);
  const remove = (pod: Host, index: number) =>
    network.delete({ command: 'DEL', ...requestOf(index, pod.path) });
  const together = async (work: typeof add | typeof remove) =>
    (await timedAsync(() => Promise.all(pods.map((pod, index) => work(pod, index))))) / PODS;
  const bare = { add: [] as number[], del: [] as number[] };
  const alone = { add: [] as number[], del: [] as number[] };
  const atOnce = { add: [] as number[], del: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, pod] of pods.entries()) {
      bare.add.push(timed(() => bareAdd(host, pod, index)));
      bare.del.push(timed(() => host.route.deleteLink(`bare${index}`)));
      alone.add.push(await timedAsync(() => add(pod, index)));
      alone.del.push(await timedAsync(() => remove(pod, index)));
    }
    atOnce.add.push(await together(add));
    atOnce.del.push(await together(remove));
  }
  const ms = (seconds: readonly number[]) => median(seconds) * 1000;
  const addPeer = { name: 'the bare kernel calls', figure: ms(bare.add) };
  const delPeer = { name: 'the bare link deletion', figure: ms(bare.del) };
  printFigure('bare veth, addresses and routes', ms(bare.add), 'ms');
  printFigure("agent's share of ADD, one at a time", ms(alone.add), 'ms', addPeer);
  printFigure(`agent's share of ADD, ${PODS} at once`, ms(atOnce.add), 'ms each', addPeer);
  printFigure('bare link deletion', ms(bare.del), 'ms');
  printFigure("agent's share of DEL, one at a time", ms(alone.del), 'ms', delPeer);
  printFigure(`agent's share of DEL, ${PODS} at once`, ms(atOnce.del), 'ms each', delPeer);
}

await withScratch(async (scratch) => {
  printMachine();
  starts();
  await shares(scratch);
});
