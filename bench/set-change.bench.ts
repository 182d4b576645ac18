// One member of one IP set comes or goes, from the resource to the kernel: sets of 1,000 and 100,000 (needs root).
import { kindOf } from '#api';
import { CalcGraph } from '#calc';
import { Dataplane } from '#dataplane';
import type { SyncerUpdate } from '#datastore/syncer';
import { type NftOperation, NftablesSocket, RouteSocket, sysctlsOfNamespace } from '#linux';
import { median, printFigure, printMachine, timed } from './measurement.ts';
import { type Scratch, withScratch } from './scratch.ts';

const TURNS = Number(process.env['TURNS'] ?? 40);
/** With a net among the addresses the kernel keeps a set in order, and pays for it at each change. */
const CASES = [
  { size: 1_000, nets: [] },
  { size: 100_000, nets: [] },
  { size: 100_000, nets: ['192.168.0.0/16'] },
] as const;
const HOST = 'node-0';

function updateOf(apiVersion: string, name: string, path: string, rest: object): SyncerUpdate {
  const kind = kindOf(apiVersion, name);
  if (!kind) throw new Error(`no kind ${apiVersion} ${name}`);
  const [label = '', namespace] = path.split('/').reverse();
  const { labels, ...fields } = rest as { readonly labels?: Readonly<Record<string, string>> };
  const metadata = { name: label, ...(namespace && { namespace }), ...(labels && { labels }) };
  return { kind, key: path, resource: { apiVersion, kind: name, metadata, ...fields } };
}

/** Every second address, so that no two of them are one range. */
function pod(number: number, app: string, node = 'node-1'): SyncerUpdate {
  const at = 2 * number;
  const ip = `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;
  return updateOf('v1', 'Pod', `shop/p${number}`, {
    labels: { app },
    spec: { nodeName: node, containers: [{ name: 'main' }] },
    status: { phase: 'Running', podIPs: [{ ip }] },
  });
}

const POLICY = updateOf('projectcalico.org/v3', 'NetworkPolicy', 'shop/db', {
  spec: {
    selector: 'app == "db"',
    types: ['Ingress'],
    ingress: [
      {
        action: 'Allow',
        protocol: 'TCP',
        source: { selector: 'app == "web"' },
        destination: { ports: [5432] },
      },
    ],
  },
});

const netsOf = (nets: readonly string[]): SyncerUpdate =>
  updateOf('projectcalico.org/v3', 'NetworkSet', 'shop/more', {
    labels: { app: 'web' },
    spec: { nets },
  });

interface Node {
  readonly name: string;
  readonly isExact: boolean;
  readonly graph: CalcGraph;
  readonly dataplane: Dataplane;
  readonly socket: NftablesSocket;
  readonly set: string;
  readonly calc: number[];
  readonly apply: number[];
  readonly writes: number[];
  readonly bare: number[];
}

function nodeOf(scratch: Scratch, { size, nets }: (typeof CASES)[number]): Node {
  const { fd } = scratch.host();
  const dataplane = new Dataplane({
    nftables: NftablesSocket.open({ namespace: fd }),
    routes: RouteSocket.open({ namespace: fd }),
    sysctls: sysctlsOfNamespace(fd),
  });
  scratch.later(() => dataplane.close());
  const socket = NftablesSocket.open({ namespace: fd });
  scratch.later(() => socket.close());
  const graph = new CalcGraph(HOST);
  graph.onUpdates([updateOf('v1', 'Namespace', 'shop', {}), POLICY, pod(0, 'db', HOST)]);
  graph.onUpdates([netsOf(nets)]);
  for (let number = 1; number <= size; number++) graph.onUpdates([pod(number, 'web')]);
  const { errors } = dataplane.apply(graph.state());
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  const table = socket.readTable('tortie');
  const [set] = [...(table?.sets ?? [])].find(([, { elements }]) => elements.length >= size) ?? [];
  if (set === undefined) throw new Error(`there is no set of ${size} in the kernel`);
  const name = `set of ${size.toLocaleString('en')}${nets.length > 0 ? ' with a net' : ''}`;
  const isExact = nets.length === 0;
  return {
    name,
    isExact,
    graph,
    dataplane,
    socket,
    set,
    calc: [],
    apply: [],
    writes: [],
    bare: [],
  };
}

function turn(node: Node, number: number): void {
  const { graph, dataplane, socket, set } = node;
  const update = pod(1 + ((number >> 1) % 500), number % 2 === 0 ? 'other' : 'web');
  const calc = timed(() => {
    graph.onUpdates([update]);
    graph.state();
  });
  const state = graph.state();
  let report = { writes: 0, errors: [] as readonly unknown[] };
  const apply = timed(() => {
    report = dataplane.apply(state);
  });
  if (report.errors.length > 0) throw new Error(JSON.stringify(report.errors));
  const end = node.isExact ? [] : [{ key: 'c0000202', intervalEnd: true }];
  const elements = [{ key: 'c0000201' }, ...end];
  const kind = number % 2 === 0 ? 'add-elements' : 'delete-elements';
  const operation: NftOperation = { kind, table: 'tortie', set, elements };
  node.bare.push(timed(() => socket.commit([operation])) * 1e3);
  node.calc.push(calc * 1e3);
  node.apply.push(apply * 1e3);
  node.writes.push(report.writes);
}

printMachine();
await withScratch(async (scratch) => {
  const nodes = CASES.map((one) => nodeOf(scratch, one));
  for (let number = 0; number < TURNS; number++) for (const node of nodes) turn(node, number);
  const [small] = nodes;
  for (const node of nodes) {
    const isSmall = node === small;
    const { name } = node;
    const figure = (what: string, of: (one: Node) => readonly number[]) => {
      const peer = small && { name: small.name, figure: median(of(small)) };
      printFigure(`${name}: ${what}`, median(of(node)), 'ms', isSmall ? undefined : peer);
    };
    figure('calculation', (one) => one.calc);
    figure(`apply (${median(node.writes)} writes)`, (one) => one.apply);
    figure('bare write of one element', (one) => one.bare);
    const bare = { name: 'the bare write', figure: median(node.bare) };
    printFigure(`${name}: apply`, median(node.apply), 'ms', bare);
  }
});
