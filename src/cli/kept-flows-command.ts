// `tortie flows past`, `top`, `graph` and `state`: what the server keeps of flows, in records, sums and pictures.
import type { Command } from 'commander';
import type { ApiClient } from '#datastore/client';
import {
  type FlowFilterParams,
  type FlowRecord,
  type FlowSummaryRow,
  parseRecordsQuery,
  parseSummaryQuery,
  type PolicyHit,
  policyName,
  type RecordEnd,
  type RecordGraph,
} from '#flows';
import { isObject } from '#lib';
import { CommandFailure, UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { formatValue, readOutput } from './resource-output.ts';
import type { Terminal } from './terminal.ts';
import { formatTable } from './text-table.ts';

const PATH = '/apis/flows.tortie.dev/v1/flows';

/** Each filter's flag and help; the same words as in a query string. */
const FILTERS: readonly (readonly [name: string, argument: string, help: string])[] = [
  ['from', '<end>', 'by source: namespace/name, namespace/, name, address or prefix'],
  ['to', '<end>', 'by destination, in the same way'],
  ['namespace', '<name>', 'of either end'],
  ['selector', '<selector>', "by labels of either end, such as app == 'web'"],
  ['from-selector', '<selector>', "by the source's labels"],
  ['to-selector', '<selector>', "by the destination's labels"],
  ['service', '<name>', 'by the service that was called: name or namespace/name'],
  ['verdict', '<verdict>', 'allow or deny'],
  ['policy', '<policy>', 'by a policy on the way: name, tier, tier/name or namespace/name'],
  ['pending', '<policy>', 'by a policy that would be on the way if staged ones were enforced'],
  ['process', '<name>', 'by a process at the reporting end'],
  ['reporter', '<end>', 'src or dst'],
  ['port', '<port>', 'by destination port'],
  ['protocol', '<protocol>', 'tcp, udp, icmp ...'],
  ['since', '<time>', 'such as 1h, 7d, or 2026-01-31T12:00:00Z (the last hour)'],
  ['until', '<time>', 'before this time'],
];

type KeptFlags = ClusterFlags & Readonly<Record<string, string | undefined>>;

/** Adds the subcommands to `flows`. */
export function addKeptFlowsCommands(flows: Command, terminal: Terminal): void {
  const past = subcommand(flows, 'past', 'show kept records of past traffic')
    .option('--limit <count>', 'the newest, at most so many (100)')
    .option('--columns <list>', `some of ${Object.keys(COLUMNS).join(',')}`)
    .option('-o, --output <format>', 'json');
  past
    .addHelpText('after', '\nExample:\n  tortie flows past --since 1d --verdict deny --to data/')
    .action((_: unknown, command: Command) => showPast(command.optsWithGlobals(), terminal));
  const top = subcommand(flows, 'top', 'show who talks most')
    .option('--by <fields>', 'what to sum over (source,destination)')
    .option('--each <list>', 'one row for each policy, pendingPolicy, policyTier or process')
    .option('--step <time>', 'one row for each step in time, such as 1m')
    .option('--order <measure>', 'bytesOut, bytesIn, packetsOut, started, flows ... (bytesOut)')
    .option('--limit <count>', 'at most so many rows (100)')
    .option('-o, --output <format>', 'json');
  top
    .addHelpText(
      'after',
      `
Examples:
  tortie flows top --since 1d
  tortie flows top --by destination,port --verdict deny --order flows
  tortie flows top --each policy --by verdict --step 1h --since 1d`,
    )
    .action((_: unknown, command: Command) => showTop(command.optsWithGlobals(), terminal));
  subcommand(flows, 'graph', 'show who talks to whom, as edges with rates')
    .option('-o, --output <format>', 'json|dot')
    .addHelpText(
      'after',
      '\nExample:\n  tortie flows graph --since 1h -o dot | dot -Tsvg > graph.svg',
    )
    .action((_: unknown, command: Command) => showGraph(command.optsWithGlobals(), terminal));
  withClusterFlags(
    flows.command('state').description('Shows how much is kept, since when, and what was lost.'),
  ).action((_: unknown, command: Command) => showState(command.optsWithGlobals(), terminal));
}

function subcommand(flows: Command, name: string, summary: string): Command {
  const command = flows
    .command(name)
    .summary(summary)
    .description(
      `${summary.charAt(0).toUpperCase()}${summary.slice(1)}, from what the server keeps.`,
    );
  for (const [filter, argument, help] of FILTERS) command.option(`--${filter} ${argument}`, help);
  return withClusterFlags(command);
}

/** Flags as commander names them are parameters with dashes. */
function paramsOf(flags: KeptFlags, more: readonly string[]): FlowFilterParams {
  const names = [...FILTERS.map(([name]) => name), ...more];
  const flagOf = (name: string) =>
    name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = flags[flagOf(name)];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

async function ask(
  flags: KeptFlags,
  {
    question,
    params,
    terminal,
  }: { question: string; params: FlowFilterParams; terminal: Terminal },
): Promise<Record<string, unknown>> {
  const client: ApiClient = connect(flags, terminal);
  try {
    const answer = await client.request('GET', `${PATH}/${question}`, { query: params });
    if (isObject(answer)) return answer;
    throw new CommandFailure('Cannot read flows: the answer is no object');
  } finally {
    await client.close();
  }
}

function itemsOf<T>(answer: Record<string, unknown>, name: string): T[] {
  const items = answer[name];
  if (Array.isArray(items)) return items as T[];
  throw new CommandFailure(`Cannot read flows: the answer has no ${name}`);
}

async function showPast(flags: KeptFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags['output'], ['json']);
  const columns = readColumns(flags['columns']);
  const params = paramsOf(flags, ['limit']);
  parseRecordsQuery(params, Date.now());
  const answer = await ask(flags, { question: 'records', params, terminal });
  const records = itemsOf<FlowRecord>(answer, 'records');
  if (output === 'json') {
    for (const record of records) terminal.out(`${JSON.stringify(record)}\n`);
    return;
  }
  const rows = records.toReversed().map((it) => columns.map((column) => COLUMNS[column](it)));
  terminal.out(formatTable(columns, rows));
}

const total = ({ in: back, out }: { in: number; out: number }): string => String(back + out);

/** What a table of records can have. */
const COLUMNS = {
  TIME: ({ bucketStart }) => timeText(bucketStart),
  NODE: ({ node }) => node,
  REPORTER: ({ reporter }) => reporter,
  SOURCE: ({ source, reporter }) => `${endText(source)} (${reporter})`,
  DESTINATION: ({ destination, port }) =>
    `${endText(destination)}${port === null ? '' : `:${port}`}`,
  SERVICE: ({ service }) => (service ? `${service.namespace}/${service.name}` : '-'),
  PROTOCOL: ({ protocol }) => protocol,
  VERDICT: ({ verdict }) => verdict.toUpperCase(),
  CONNECTIONS: ({ connections }) => String(connections.started),
  LIVE: ({ connections }) => String(connections.live),
  PACKETS: ({ packets }) => total(packets),
  BYTES: ({ bytes }) => total(bytes),
  FLOWS: ({ flows }) => String(flows),
  LEVEL: ({ level }) => String(level),
  PROCESS: ({ processes }) => processes.map(({ name }) => name).join(',') || '-',
  LABELS: ({ source, destination }) => `${labelText(source)} > ${labelText(destination)}`,
  PENDING: ({ pending }) => traceText(pending) || '-',
  POLICIES: ({ policies }) => traceText(policies),
} as const satisfies Record<string, (record: FlowRecord) => string>;

type ColumnName = keyof typeof COLUMNS;

const USUAL: readonly ColumnName[] = [
  'TIME',
  'SOURCE',
  'DESTINATION',
  'PROTOCOL',
  'VERDICT',
  'CONNECTIONS',
  'PACKETS',
  'BYTES',
  'FLOWS',
  'POLICIES',
];

function readColumns(text: string | undefined): readonly ColumnName[] {
  if (text === undefined) return USUAL;
  const words = text.split(',').map((word) => word.trim().toUpperCase());
  const unknown = words.filter((word) => !Object.hasOwn(COLUMNS, word));
  if (unknown.length === 0) return words as ColumnName[];
  const known = Object.keys(COLUMNS).join(', ');
  throw new UsageError(`Cannot show the columns ${unknown.join(', ')}: use ${known}`);
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 19).replace('T', ' ');
}

function traceText(trace: readonly PolicyHit[]): string {
  return trace.map((hit) => `${policyName(hit)} ${hit.action}`).join(', ');
}

function labelText({ labels }: RecordEnd): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function endText({ type, namespace, name, address }: RecordEnd): string {
  if (type === 'network') return address ?? (name === 'pub' ? 'public network' : 'private network');
  return namespace === null ? name : `${namespace}/${name}`;
}

async function showTop(flags: KeptFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags['output'], ['json']);
  const params = paramsOf(flags, ['by', 'each', 'step', 'order', 'limit']);
  const query = parseSummaryQuery(params, Date.now());
  const answer = await ask(flags, { question: 'summary', params, terminal });
  const rows = itemsOf<FlowSummaryRow>(answer, 'rows');
  if (output === 'json') {
    for (const row of rows) terminal.out(`${JSON.stringify(row)}\n`);
    return;
  }
  const { groupBy, each, step } = query;
  const headings = [
    ...(step === undefined ? [] : ['TIME']),
    ...groupBy.map(headingOf),
    ...(each === undefined ? [] : [headingOf(each)]),
    'CONNECTIONS',
    'PACKETS OUT',
    'PACKETS IN',
    'BYTES OUT',
    'BYTES IN',
  ];
  const cells = rows.map(({ time, group, item, sums }) => [
    ...(step === undefined ? [] : [timeText(time)]),
    ...group.map((value) => (value === '' || value === -1 ? '-' : String(value))),
    ...(each === undefined ? [] : [item ?? '']),
    ...[sums.started, sums.packetsOut, sums.packetsIn, sums.bytesOut, sums.bytesIn].map(String),
  ]);
  terminal.out(formatTable(headings, cells));
}

function headingOf(field: string): string {
  return field.replaceAll(/[A-Z]/g, (letter) => ` ${letter}`).toUpperCase();
}

async function showGraph(flags: KeptFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags['output'], ['json', 'dot']);
  const params = paramsOf(flags, []);
  parseRecordsQuery(params, Date.now());
  const answer = await ask(flags, { question: 'graph', params, terminal });
  const graph: RecordGraph = {
    nodes: itemsOf(answer, 'nodes'),
    edges: itemsOf(answer, 'edges'),
    truncated: answer['truncated'] === true,
  };
  if (output === 'json') terminal.out(formatValue(graph, 'json'));
  else if (output === 'dot') terminal.out(dotOf(graph));
  else terminal.out(formatTable(EDGE_HEADINGS, graph.edges.map(edgeRow)));
  if (graph.truncated) terminal.err('warning: there are more edges; narrow the filter\n');
}

const EDGE_HEADINGS = [
  'SOURCE',
  'DESTINATION',
  'SERVICE',
  'VERDICT',
  'CONNECTIONS/S',
  'PACKETS/S',
  'BYTES/S',
];

function edgeRow(edge: RecordGraph['edges'][number]): string[] {
  const port = edge.port === null ? '' : `:${edge.port}`;
  const rate = (value: number) => value.toFixed(value < 10 ? 2 : 0);
  return [
    edge.source,
    `${edge.destination}${port}/${edge.protocol}`,
    edge.service ?? '-',
    edge.verdict.toUpperCase(),
    rate(edge.connectionRate),
    rate(edge.packetRate),
    rate(edge.byteRate),
  ];
}

/** Graphviz: one box for each namespace, denied edges red. */
function dotOf({ nodes, edges }: RecordGraph): string {
  const quoted = (text: string) => JSON.stringify(text);
  const spaces = Map.groupBy(nodes, ({ namespace }) => namespace ?? '');
  const boxes = [...spaces].map(([namespace, own], index) => {
    const lines = own.map(({ id, name }) => `    ${quoted(id)} [label=${quoted(name)}];`);
    const label = namespace === '' ? '' : `    label=${quoted(namespace)};\n`;
    return `  subgraph cluster_${index} {\n${label}${lines.join('\n')}\n  }`;
  });
  const lines = edges.map(({ source, destination, port, protocol, verdict }) => {
    const label = quoted(`${port ?? ''}/${protocol}`);
    const colour = verdict === 'deny' ? ', color=red, style=dashed' : '';
    return `  ${quoted(source)} -> ${quoted(destination)} [label=${label}${colour}];`;
  });
  return `digraph flows {\n  rankdir=LR;\n${[...boxes, ...lines].join('\n')}\n}\n`;
}

async function showState(flags: KeptFlags, terminal: Terminal): Promise<void> {
  const state = await ask(flags, { question: 'state', params: {}, terminal });
  const time = (value: unknown) =>
    typeof value === 'number' ? new Date(value).toISOString() : '-';
  const rows = Object.entries(state).map(([name, value]) => [
    headingOf(name).toLowerCase(),
    name === 'oldest' || name === 'newest' ? time(value) : String(value),
  ]);
  terminal.out(formatTable(['WHAT', 'VALUE'], rows));
}
