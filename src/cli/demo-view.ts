// What the demo shows, as lines: who talks to whom, what is denied and by what, and what to try next.
import { decidingHit, type Flow, type GraphEdge, hitText, serviceGraph } from '#flows';
import { compareCodePoints } from '#lib';

export interface DemoView {
  /** Of the lab. */
  readonly name: string;
  /** How a user says the program. */
  readonly program: string;
  /** What commands need behind them to find this lab, with a space before; empty where it is the only one. */
  readonly labFlag: string;
  readonly nodes: number;
  readonly pods: number;
  /** Since the lab was up. */
  readonly seconds: number;
  /** Of the last `windowSeconds`. */
  readonly flows: readonly Flow[];
  readonly windowSeconds: number;
}

export interface Screen {
  readonly width: number;
  readonly height: number;
  readonly color: boolean;
}

const CODES = { bold: 1, red: 31, green: 32, dim: 2, cyan: 36 } as const;
type Style = keyof typeof CODES;
/** Lines that are neither edges nor denials. */
const FIXED_LINES = 12;
const EDGES_WIDTH = 46;

/** At most `height` lines of at most `width` characters. */
export function renderDemo(view: DemoView, screen: Screen): string[] {
  const { edges } = serviceGraph(view.flows.filter(isSettled));
  const allowed = edges
    .filter(({ allowed: count }) => count > 0)
    .toSorted((a, b) => b.allowed - a.allowed);
  const denied = edges
    .filter(({ denied: count }) => count > 0)
    .toSorted((a, b) => b.denied - a.denied);
  const room = Math.max(4, screen.height - FIXED_LINES);
  const deniedShown = Math.min(denied.length, Math.ceil(room / 2));
  const allowedShown = Math.min(allowed.length, room - deniedShown);
  const style = (name: Style, text: string) =>
    screen.color ? `\u001b[${CODES[name]}m${text}\u001b[0m` : text;
  const cut = (text: string) =>
    text.length > screen.width ? `${text.slice(0, screen.width - 1)}…` : text;
  const title = `Tortie lab ${view.name}: ${view.nodes} nodes, ${view.pods} pods, up ${view.seconds} s`;
  return [
    style('bold', cut(`${title} · press Ctrl-C to stop`)),
    '',
    style('bold', cut(`Who talks to whom (connections a second, last ${view.windowSeconds} s)`)),
    ...allowed.slice(0, allowedShown).map((edge) => style('green', cut(allowedLine(edge, view)))),
    ...more(allowed.length - allowedShown),
    ...(allowed.length === 0 ? ['  nobody yet'] : []),
    '',
    style('bold', 'Denied, and by what'),
    ...denied.slice(0, deniedShown).map((edge) => style('red', cut(deniedLine(edge, view)))),
    ...more(denied.length - deniedShown),
    ...(denied.length === 0 ? ['  nothing yet'] : []),
    '',
    style('bold', 'Try next, in another terminal'),
    ...nextCommands(view).map((command) => style('cyan', cut(`  ${command}`))),
  ].slice(0, screen.height);
}

/** Between pods, what left the source may still be denied at the destination: until that has reported, it is open. */
function isSettled({ verdict, reporter, source, destination }: Flow): boolean {
  const betweenPods = source.type === 'workload' && destination.type === 'workload';
  return verdict === 'deny' || reporter === 'both' || !betweenPods;
}

function more(count: number): string[] {
  return count > 0 ? [`  and ${count} more`] : [];
}

function allowedLine(edge: GraphEdge, view: DemoView): string {
  const seconds = windowOf(view);
  const rate = (edge.allowed / seconds).toFixed(1).padStart(6);
  const traffic = `${(edge.bytes / seconds / 1000).toFixed(1).padStart(7)} kB/s`;
  return `  ${edgeText(edge).padEnd(EDGES_WIDTH)} ${rate}/s ${traffic}`;
}

function deniedLine(edge: GraphEdge, view: DemoView): string {
  const rate = (edge.denied / windowOf(view)).toFixed(1).padStart(6);
  const why = edge.denials.map(({ hit }) => shortKinds(hitText(hit))).join('; ');
  return `  ${edgeText(edge).padEnd(EDGES_WIDTH)} ${rate}/s ${why}`;
}

/** Kinds by the names that kubectl takes, so that the rule's number still fits on the line. */
function shortKinds(text: string): string {
  return text
    .replace('GlobalNetworkPolicy', 'gnp')
    .replace('KubernetesNetworkPolicy', 'netpol')
    .replace('NetworkPolicy', 'np');
}

/** Right after the start there is less to look back on. */
function windowOf({ seconds, windowSeconds }: DemoView): number {
  return Math.max(1, Math.min(windowSeconds, seconds));
}

function edgeText({ source, destination, protocol, port }: GraphEdge): string {
  const service = port === undefined ? protocol : `${port}/${protocol}`;
  return `${endText(source)} → ${endText(destination)}:${service}`;
}

/** How flows call addresses that belong to nothing known, and how people do. */
const NETWORKS: ReadonlyMap<string, string> = new Map([
  ['network pvt', 'a private address'],
  ['network pub', 'a public address'],
]);

/** Ids are the type and the name. */
function endText(id: string): string {
  return NETWORKS.get(id) ?? id.slice(id.indexOf(' ') + 1);
}

/** Three commands with names from what is going on. */
export function nextCommands({ flows, program, labFlag }: DemoView): string[] {
  const denied = exemplaryDenial(flows);
  if (!denied) return [`${program} get pods,tiers,gnp,np,netpol -A -o wide${labFlag}`];
  const source = `${denied.source.namespace}/${denied.source.name}`;
  const packet = `--protocol ${denied.protocol} --port ${denied.port}`;
  return [
    `${program} explain ${source} ${partyText(denied)} ${packet}${labFlag}`,
    `${program} flows --follow --verdict deny --from ${source}${labFlag}`,
    `${program} get pods,tiers,gnp,np,netpol -A -o wide${labFlag}`,
  ];
}

/** Always the same of the same: between pods and by a rule with a name, if there is such a one. */
function exemplaryDenial(flows: readonly Flow[]): Flow | undefined {
  const ranked = flows
    .filter(({ verdict, source, port }) => verdict === 'deny' && source.type === 'workload' && port)
    .map((flow) => {
      const hits = [decidingHit(flow, 'egress'), decidingHit(flow, 'ingress')];
      const isNamed = hits.some((hit) => hit?.action === 'deny' && hit.name !== null);
      const isBetweenPods = flow.destination.type === 'workload';
      return { flow, rank: `${isNamed ? 0 : 1}${isBetweenPods ? 0 : 1} ${partyText(flow)}` };
    });
  return ranked.toSorted((a, b) => compareCodePoints(a.rank, b.rank))[0]?.flow;
}

function partyText({ destination }: Flow): string {
  const { type, namespace, name, address } = destination;
  if (type === 'workload') return `${namespace}/${name}`;
  return type === 'host' ? `node:${name}` : address;
}
