// What the demo shows, as lines: who talks to whom, what is denied and by what, and what to try next.
import { decidingHit, type Flow, type GraphEdge, hitText, serviceGraph } from '#flows';

export interface DemoView {
  /** Of the lab. */
  readonly name: string;
  /** How a user says the program. */
  readonly program: string;
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
  const { edges } = serviceGraph(view.flows);
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
  const why = edge.denials.map(({ hit }) => hitText(hit)).join('; ');
  return `  ${edgeText(edge).padEnd(EDGES_WIDTH)} ${rate}/s ${why}`;
}

/** Right after the start there is less to look back on. */
function windowOf({ seconds, windowSeconds }: DemoView): number {
  return Math.max(1, Math.min(windowSeconds, seconds));
}

function edgeText({ source, destination, protocol, port }: GraphEdge): string {
  const service = port === undefined ? protocol : `${port}/${protocol}`;
  return `${endText(source)} → ${endText(destination)}:${service}`;
}

/** Ids are the type and the name. */
function endText(id: string): string {
  return id.slice(id.indexOf(' ') + 1);
}

/** Three commands with names from what is going on. */
export function nextCommands({ flows, program, name }: DemoView): string[] {
  const denied = flows.findLast(
    (flow) => flow.verdict === 'deny' && flow.source.type === 'workload' && flow.port !== undefined,
  );
  const hit = denied && (decidingHit(denied, 'egress') ?? decidingHit(denied, 'ingress'));
  const source = denied ? `${denied.source.namespace}/${denied.source.name}` : 'web/intruder';
  const destination = denied ? partyText(denied) : 'data/database';
  const port = denied?.port ?? 5432;
  const protocol = denied?.protocol ?? 'tcp';
  const policy = hit?.tier ?? 'security';
  return [
    `${program} explain ${source} ${destination} --protocol ${protocol} --port ${port} --lab ${name}`,
    `${program} flows --follow --verdict deny --policy ${policy} --lab ${name}`,
    `${program} get pods,tiers,gnp,np,netpol -A -o wide --lab ${name}`,
  ];
}

function partyText({ destination }: Flow): string {
  const { type, namespace, name, address } = destination;
  if (type === 'workload') return `${namespace}/${name}`;
  return type === 'host' ? `node:${name}` : address;
}
