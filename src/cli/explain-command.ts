// `tortie explain`: may this packet pass, and why; against the cluster or against files.
import type { Command } from 'commander';
import {
  buildWorld,
  evaluate,
  formatExplanation,
  type PacketFields,
  parseParty,
  readPacketFields,
  type World,
} from '#policy';
import { UsageError } from './cli-error.ts';
import { answerQueries } from './explain-queries.ts';
import { formatValue, readOutput } from './resource-output.ts';
import { readResources, type SourceFlags, withSourceFlags } from './resource-source.ts';
import type { Terminal } from './terminal.ts';

interface PacketFlags {
  readonly protocol: string;
  readonly port?: string;
  readonly sourcePort?: string;
  readonly icmpType?: string;
  readonly icmpCode?: string;
  readonly family?: string;
  readonly through?: string;
}

interface ExplainFlags extends SourceFlags, PacketFlags {
  readonly queries?: string;
  readonly output?: string;
}

export function addExplainCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('explain')
    .summary('say whether a packet may pass, and why')
    .description(
      'Says the verdict of both halves, egress at the source and ingress at the destination: the tier, ' +
        'policy and rule that decide, what was passed over and why, and what to change.',
    )
    .argument('[source]', 'namespace/pod, node:NAME or an address')
    .argument('[destination]', 'the same')
    .option('--protocol <protocol>', 'tcp, udp, icmp, icmpv6, sctp, udplite or a number', 'tcp')
    .option('--port <port>', 'the destination port')
    .option('--source-port <port>', 'the source port; else one of the ephemeral ports')
    .option('--icmp-type <type>', 'the ICMP type; else an echo request')
    .option('--icmp-code <code>', 'the ICMP code')
    .option('--family <4|6>', 'IPv4 or IPv6, where both ends have both')
    .option('--through <node:in:out>', 'what a node on the way says, by its two interfaces')
    .option(
      '--queries <file>',
      'answer these in place of one: a JSON object a line; - is standard input',
    )
    .option('-o, --output <format>', 'json');
  withSourceFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie explain web/intruder data/database --protocol tcp --port 5432
  tortie explain payments/payments 203.0.113.10 --port 443 -o json
  tortie explain shop/cart node:node-1 --protocol icmp
  tortie explain 203.0.113.7 198.51.100.9 --port 443 --through gateway:eth0:eth1
  tortie explain web/front-1 shop/cart --port 8080 -f examples/shop
  tortie explain -f examples/shop --queries packets.jsonl

A query is a line such as {"from": "web/front-1", "to": "203.0.113.7", "protocol": "tcp", "port": 443}, with
sourcePort, icmpType, icmpCode, family and through where they apply. Its answer is a line: what -o json prints, or
{"error": "..."}; the order stays.

Where a staged policy would matter to either end, the answer has pending too: what would be said if every staged
policy were enforced. Where a node does not say which interface has which address, and several host endpoints may
govern one, a half has doubt: who was asked, and what another one would say.

The exit code is 0 whatever the verdict, 2 where a question makes no sense.`,
    )
    .action((source: string | undefined, destination: string | undefined, flags: ExplainFlags) =>
      explain({ source, destination }, flags, terminal),
    );
}

interface Ends {
  readonly source: string | undefined;
  readonly destination: string | undefined;
}

async function explain(ends: Ends, flags: ExplainFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags.output, ['json']);
  if (flags.queries !== undefined) return explainMany(ends, flags, flags.queries, terminal);
  const { source, destination, filename } = untangle(ends, flags.filename);
  if (source === undefined || destination === undefined) {
    throw new UsageError(
      'Cannot explain: name a source and a destination, as in "tortie explain web/front-1 shop/cart --port 8080"',
    );
  }
  const fields = readPacket(flags);
  const sources = { ...flags, ...(filename === undefined ? {} : { filename }) };
  const world = buildWorld(await readResources(sources, terminal));
  terminal.out(explainOne(world, [source, destination], fields, output));
}

/** `-f` takes every word after it: the last ones are the ends where these stand nowhere else. */
function untangle(ends: Ends, words: readonly string[] | undefined) {
  const missing = [ends.source, ends.destination].filter((end) => end === undefined).length;
  if (words === undefined || missing === 0 || words.length <= missing) {
    return { ...ends, filename: words };
  }
  const taken = words.slice(-missing);
  const [source, destination] = missing === 2 ? taken : [ends.source, ...taken];
  return { source, destination, filename: words.slice(0, -missing) };
}

async function explainMany(
  { source }: Ends,
  flags: ExplainFlags,
  queries: string,
  terminal: Terminal,
): Promise<void> {
  if (source !== undefined) {
    throw new UsageError('Cannot explain a packet and --queries at once: leave one out');
  }
  if (queries === '-' && flags.filename?.includes('-') === true) {
    throw new UsageError(
      'Cannot read both manifests and queries from standard input: name a file for one',
    );
  }
  await answerQueries(buildWorld(await readResources(flags, terminal)), queries, terminal);
}

function explainOne(
  world: World,
  [source, destination]: readonly [string, string],
  fields: PacketFields,
  output: 'json' | undefined,
): string {
  const packet = {
    ...fields,
    from: parseParty(world, source),
    to: parseParty(world, destination),
  };
  const explanation = evaluate(world, packet);
  if (output === 'json') return formatValue(explanation, 'json');
  return `${formatExplanation(explanation, packet, world)}\n`;
}

const FLAG_NAMES = {
  protocol: '--protocol',
  port: '--port',
  sourcePort: '--source-port',
  icmpType: '--icmp-type',
  icmpCode: '--icmp-code',
  family: '--family',
  through: '--through',
} as const;

/** The packet's fields but its ends. Throws UsageError with everything that is wrong. */
function readPacket(flags: PacketFlags): PacketFields {
  const { fields, problems } = readPacketFields(flags);
  if (fields) return fields;
  const texts = problems.map(({ field, message }) => `${FLAG_NAMES[field]} ${message}`);
  throw new UsageError(`Cannot explain: ${texts.join('; ')}`);
}
