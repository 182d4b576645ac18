// `tortie flows`: who talks to whom, what was denied and by which policy, from the kernel's own events.
import type { Command } from 'commander';
import type { ApiClient } from '#datastore/client';
import { type Flow, formatFlow, formatFlowHeader, parseFlow, parseFlowFilter } from '#flows';
import { isObject } from '#lib';
import { CommandFailure } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { addKeptFlowsCommands } from './kept-flows-command.ts';
import { formatValue, readOutput } from './resource-output.ts';
import type { Terminal } from './terminal.ts';

export const FLOWS_PATH = '/apis/flows.tortie.dev/v1/flows';

const FILTERS = [
  'from',
  'to',
  'verdict',
  'policy',
  'namespace',
  'selector',
  'service',
  'since',
  'until',
  'port',
  'protocol',
  'limit',
] as const;
type Filters = Partial<Record<(typeof FILTERS)[number], string>>;

interface FlowsFlags extends ClusterFlags, Filters {
  readonly follow?: boolean;
  readonly output?: string;
}

export function addFlowsCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('flows')
    .summary('show connections with their verdicts')
    .description(
      'Shows each connection with names, ports, verdict, packets, bytes and what decided at both ends.',
    )
    .option('--follow', 'go on with what comes')
    .option('--from <end>', 'by source: namespace/name, namespace/, name, address or prefix')
    .option('--to <end>', 'by destination, in the same way')
    .option('--verdict <verdict>', 'allow or deny')
    .option('--policy <policy>', 'by a policy on the way: name, tier, tier/name or namespace/name')
    .option('--namespace <name>', 'of either end')
    .option('--selector <selector>', 'by labels of either end')
    .option('--service <name>', 'by the service that was called')
    .option('--until <time>', 'begun before this time')
    .option('--since <time>', 'active since, such as 30s, 5m, or 2026-01-31T12:00:00Z')
    .option('--port <port>', 'by destination port')
    .option('--protocol <protocol>', 'tcp, udp, icmp ...')
    .option('--limit <count>', 'the newest, at most so many')
    .option('-o, --output <format>', 'json|wide');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie flows --follow --verdict deny
  tortie flows --from web/ --to data/database --since 1m -o wide
  tortie flows --policy security -o json
  tortie flows top --since 1d --by destination,port`,
    )
    .action((flags: FlowsFlags) => showFlows(flags, terminal));
  addKeptFlowsCommands(command, terminal);
}

async function showFlows(flags: FlowsFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags.output, ['json', 'wide']);
  const filters: Filters = Object.fromEntries(FILTERS.map((name) => [name, flags[name]]));
  parseFlowFilter(filters, Date.now());
  const client = connect(flags, terminal);
  const printer = new FlowPrinter(terminal, output);
  try {
    if (flags.follow) {
      for await (const flow of followFlows(client, filters)) printer.print([flow]);
    } else if (output === 'json')
      terminal.out(formatValue(await listFlows(client, filters), 'json'));
    else printer.print(await listFlows(client, filters));
  } finally {
    await client.close();
  }
}

class FlowPrinter {
  readonly #terminal: Terminal;
  readonly #output: 'json' | 'wide' | undefined;
  #headed = false;

  constructor(terminal: Terminal, output: 'json' | 'wide' | undefined) {
    this.#terminal = terminal;
    this.#output = output;
  }

  /** One line for each; JSON is one object a line. */
  print(flows: readonly Flow[]): void {
    if (this.#output === 'json') {
      for (const flow of flows) this.#terminal.out(`${JSON.stringify(flow)}\n`);
      return;
    }
    const format = { wide: this.#output === 'wide' };
    if (!this.#headed) this.#terminal.out(`${formatFlowHeader(format)}\n`);
    this.#headed = true;
    for (const flow of flows) this.#terminal.out(`${formatFlow(flow, format)}\n`);
  }
}

/** The flows that the server knows. Throws CommandFailure where its answer is none. */
export async function listFlows(client: ApiClient, query: Filters): Promise<Flow[]> {
  const answer = await client.request('GET', FLOWS_PATH, { query });
  const items: unknown = isObject(answer) ? answer['flows'] : answer;
  if (!Array.isArray(items)) throw new CommandFailure('Cannot read flows: the answer is no list');
  return items.map(parseFlow);
}

/** Flows as they come, until the server ends or the signal aborts. */
export async function* followFlows(
  client: ApiClient,
  filters: Filters,
  signal?: AbortSignal,
): AsyncGenerator<Flow> {
  const query = { ...filters, follow: 1 };
  const options = { query, ...(signal === undefined ? {} : { signal }) };
  for await (const line of await client.stream('GET', FLOWS_PATH, options)) yield parseFlow(line);
}
