// `tortie explain`: may this packet pass, and why; against the cluster or against files.
import type { Command } from 'commander';
import { KINDS, type Resource } from '#api';
import { buildWorld, evaluate, formatExplanation, type Packet, parseParty } from '#policy';
import { UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { loadManifestFiles } from './manifest-files.ts';
import { formatValue, readOutput } from './resource-output.ts';
import type { Terminal } from './terminal.ts';

export interface PacketFlags {
  readonly protocol: string;
  readonly port?: string;
  readonly sourcePort?: string;
  readonly icmpType?: string;
  readonly icmpCode?: string;
  readonly family?: string;
}

interface ExplainFlags extends ClusterFlags, PacketFlags {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly output?: string;
}

/** Kinds that no verdict depends on. */
const NOT_READ: readonly string[] = ['AgentStatus', 'IPAMBlock', 'IPPool'];

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
};
const WITH_PORTS: readonly number[] = [6, 17, 132, 136];
const WITH_TYPES: readonly number[] = [1, 58];

export function addExplainCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('explain')
    .summary('say whether a packet may pass, and why')
    .description(
      'Says the verdict of both halves, egress at the source and ingress at the destination: the tier, ' +
        'policy and rule that decide, what was passed over and why, and what to change.',
    )
    .argument('<source>', 'namespace/pod, node:NAME or an address')
    .argument('<destination>', 'the same')
    .option('--protocol <protocol>', 'tcp, udp, icmp, icmpv6, sctp, udplite or a number', 'tcp')
    .option('--port <port>', 'the destination port')
    .option('--source-port <port>', 'the source port; else one of the ephemeral ports')
    .option('--icmp-type <type>', 'the ICMP type; else an echo request')
    .option('--icmp-code <code>', 'the ICMP code')
    .option('--family <4|6>', 'IPv4 or IPv6, where both ends have both')
    .option('-f, --filename <path...>', 'judge these manifests in place of a cluster')
    .option('-R, --recursive', 'read the folders inside of folders too')
    .option('-o, --output <format>', 'json');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie explain web/intruder data/database --protocol tcp --port 5432
  tortie explain payments/payments 203.0.113.10 --port 443 -o json
  tortie explain shop/cart node:node-1 --protocol icmp
  tortie explain web/front-1 shop/cart --port 8080 -f examples/shop

The exit code is 0 whatever the verdict, 2 where the question makes no sense.`,
    )
    .action((source: string, destination: string, flags: ExplainFlags) =>
      explain([source, destination], flags, terminal),
    );
}

async function explain(
  [source, destination]: readonly [string, string],
  flags: ExplainFlags,
  terminal: Terminal,
): Promise<void> {
  const output = readOutput(flags.output, ['json']);
  const fields = readPacket(flags);
  const world = buildWorld(await readResources(flags, terminal));
  const packet = {
    ...fields,
    from: parseParty(world, source),
    to: parseParty(world, destination),
  };
  const explanation = evaluate(world, packet);
  if (output === 'json') terminal.out(formatValue(explanation, 'json'));
  else terminal.out(`${formatExplanation(explanation, packet, world)}\n`);
}

async function readResources(flags: ExplainFlags, terminal: Terminal): Promise<Resource[]> {
  if (flags.filename !== undefined) {
    const recursive = flags.recursive === true;
    const { resources } = await loadManifestFiles(flags.filename, { recursive }, terminal);
    return resources;
  }
  const client = connect(flags, terminal);
  try {
    const kinds = KINDS.filter(({ kind }) => !NOT_READ.includes(kind));
    const lists = await Promise.all(kinds.map((kind) => client.list(kind)));
    return lists.flatMap(({ items }) => items);
  } finally {
    await client.close();
  }
}

/** The packet's fields but its ends. Throws UsageError with everything that is wrong. */
export function readPacket(flags: PacketFlags): Omit<Packet, 'to' | 'from'> {
  const problems: string[] = [];
  const number = (name: string, text: string | undefined, least: number, most: number) => {
    if (text === undefined) return undefined;
    const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    problems.push(`--${name} ${JSON.stringify(text)} is no number from ${least} to ${most}`);
    return undefined;
  };
  const name = flags.protocol.toLowerCase();
  const known = Object.hasOwn(PROTOCOLS, name) ? PROTOCOLS[name] : undefined;
  const protocol = known ?? (/^\d{1,3}$/.test(name) ? Number(name) : 256);
  if (protocol > 255) {
    const names = Object.keys(PROTOCOLS).join(', ');
    problems.push(`--protocol ${JSON.stringify(flags.protocol)} is none: use ${names} or 0 to 255`);
  }
  const port = number('port', flags.port, 1, 65535);
  const sourcePort = number('source-port', flags.sourcePort, 1, 65535);
  const icmpType = number('icmp-type', flags.icmpType, 0, 255);
  const icmpCode = number('icmp-code', flags.icmpCode, 0, 255);
  const family = number('family', flags.family, 4, 6);
  if (family === 5) problems.push('--family 5 is neither 4 nor 6');
  problems.push(...mismatches(flags, protocol));
  if (problems.length > 0) throw new UsageError(`Cannot explain: ${problems.join('; ')}`);
  return {
    protocol,
    ...(port === undefined ? {} : { port }),
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(icmpCode === undefined ? {} : { icmpCode }),
    ...(family === 4 || family === 6 ? { family } : {}),
  };
}

/** Flags that the protocol needs, or cannot have. */
function mismatches(flags: PacketFlags, protocol: number): string[] {
  const problems: string[] = [];
  const hasPorts = WITH_PORTS.includes(protocol);
  if (hasPorts && flags.port === undefined) problems.push(`${flags.protocol} needs --port N`);
  if (!hasPorts && protocol < 256 && (flags.port ?? flags.sourcePort) !== undefined) {
    problems.push(`protocol ${flags.protocol} has no ports`);
  }
  if (!WITH_TYPES.includes(protocol) && (flags.icmpType ?? flags.icmpCode) !== undefined) {
    problems.push(`protocol ${flags.protocol} has no ICMP type`);
  }
  return problems;
}
