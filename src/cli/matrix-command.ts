// `tortie matrix`: who reaches whom, as a table of every pod by every pod.
import type { Command } from 'commander';
import {
  buildWorld,
  type Reachability,
  type ReachabilityProbe,
  reachability,
  readPacketFields,
} from '#policy';
import { UsageError } from './cli-error.ts';
import { readOutput } from './resource-output.ts';
import { readResources, type SourceFlags, withSourceFlags } from './resource-source.ts';
import type { Terminal } from './terminal.ts';

interface MatrixFlags extends SourceFlags {
  readonly port: readonly string[];
  readonly address?: readonly string[];
  readonly output?: string;
}

const DEFAULT_PORTS = ['tcp/80'];

export function addMatrixCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('matrix')
    .summary('show who reaches whom')
    .description('Judges a packet from every pod to every other one and draws the verdicts.')
    .option('--port <port...>', 'what is sent: tcp/80, udp/53, icmp ...', DEFAULT_PORTS)
    .option('--address <address...>', 'addresses outside that take part as well')
    .option('-o, --output <format>', 'table or json', 'table');
  withSourceFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie matrix -f examples/shop --port tcp/8080 tcp/5432
  tortie matrix -f examples/shop --address 203.0.113.7 -o json

In the JSON, row i of a port goes to column j: "." allowed, "X" denied, "*" itself. The exit code is 0.`,
    )
    .action((flags: MatrixFlags) => matrix(flags, terminal));
}

async function matrix(flags: MatrixFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags.output, ['table', 'json']);
  const probes = readProbes(flags.port);
  const world = buildWorld(await readResources(flags, terminal));
  const found = reachability(world, probes, flags.address ?? []);
  if (found.endpoints.length === 0) throw new UsageError('Cannot draw a matrix: there are no pods');
  terminal.out(output === 'json' ? `${JSON.stringify(strict(found))}\n` : formatMatrix(found));
}

/** `tcp/80`, `6/80`, `icmp`; throws UsageError with everything that is wrong. */
function readProbes(texts: readonly string[]): ReachabilityProbe[] {
  const problems: string[] = [];
  const probes = texts.flatMap((text) => {
    const [protocol, port, ...rest] = text.toLowerCase().split('/');
    const read = readPacketFields({ protocol, port });
    const wrong = rest.length > 0 ? ['has more than one "/"'] : [];
    wrong.push(...read.problems.map(({ field, message }) => `${field} ${message}`));
    if (wrong.length > 0) {
      problems.push(`--port ${JSON.stringify(text)}: ${wrong.join('; ')}; write it as tcp/80`);
    }
    return read.fields ? [{ ...read.fields, name: text.toLowerCase() }] : [];
  });
  if (problems.length > 0) throw new UsageError(`Cannot draw a matrix: ${problems.join('\n')}`);
  return probes;
}

/** The JSON knows three marks: who shares no address family with another does not reach it. */
function strict({ endpoints, ports }: Reachability): Reachability {
  const rows = Object.entries(ports).map(
    ([name, lines]) => [name, lines.map((line) => line.replaceAll('-', 'X'))] as const,
  );
  return { endpoints, ports: Object.fromEntries(rows) };
}

/** From so many endpoints on, columns stand close and in groups. */
const CLOSE = 30;
const GROUP = 5;

/** A table a port: senders by number and name, receivers by number, its digits under each other. */
function formatMatrix({ endpoints, ports }: Reachability): string {
  const digits = String(endpoints.length).length;
  const width = Math.max(...endpoints.map((name) => name.length));
  const numbers = endpoints.map((_, index) => String(index + 1).padStart(digits));
  const margin = ' '.repeat(digits + 2 + width);
  const header = Array.from({ length: digits }, (_, digit) => {
    return `${margin}  ${spaced(numbers.map((text) => text.charAt(digit)))}`.trimEnd();
  });
  const tables = Object.entries(ports).map(([name, rows]) => {
    const lines = rows.map((row, index) => {
      const label = `${numbers[index]}  ${(endpoints[index] ?? '').padEnd(width)}`;
      return `${label}  ${spaced(row.split(''))}`;
    });
    return [`${name}  ${allowedText(rows)}`, ...header, ...lines, ''].join('\n');
  });
  const families = Object.values(ports).some((rows) => rows.some((row) => row.includes('-')));
  const family = families ? '   - no address family in common' : '';
  const legend = `from each row to each column   . allowed   X denied   * itself${family}`;
  return `${tables.join('\n')}\n${legend}\n`;
}

function spaced(cells: readonly string[]): string {
  if (cells.length < CLOSE) return cells.join(' ');
  return cells
    .map((cell, index) => (index > 0 && index % GROUP === 0 ? ` ${cell}` : cell))
    .join('');
}

function allowedText(rows: readonly string[]): string {
  const all = rows.join('').replaceAll('*', '');
  return `(${all.replaceAll(/[^.]/g, '').length} of ${all.length} allowed)`;
}
