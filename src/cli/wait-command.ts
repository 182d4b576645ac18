// `tortie wait`: until a policy or a host endpoint is in force, with who is missing and why when it takes too long.
import type { Command } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AgentStatus,
  enforcementOf,
  isEnforcedKind,
  type KindDefinition,
  kindOf,
  type NodeEnforcement,
} from '#api';
import type { ApiClient } from '#datastore/client';
import { CommandFailure, UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { displayName, lookupKind } from './kind-lookup.ts';
import type { Terminal } from './terminal.ts';

interface WaitFlags extends ClusterFlags {
  readonly for: string;
  readonly timeout: string;
  readonly namespace?: string;
}

const TURN_MS = 100;

export function addWaitCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('wait')
    .summary('wait until a policy or a host endpoint is in force')
    .description(
      'Waits until every node has the newest version of a policy in its kernel, or the node of a host endpoint that.',
    )
    .argument('<resource>', 'KIND/NAME, or the name of a NetworkPolicy')
    .requiredOption('--for <what>', 'what to wait for: enforced')
    .option('--timeout <seconds>', 'how long to wait, as 30s', '30s')
    .option('-n, --namespace <namespace>', 'the namespace it is in');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie wait --for=enforced web -n shop
  tortie wait --for=enforced gnp/baseline --timeout 2m
  tortie wait --for=enforced hostendpoint/node-1-eth0
  kubectl wait --for=condition=Enforced caliconetworkpolicy/web -n shop`,
    )
    .action((policy: string, flags: WaitFlags) => wait(policy, flags, terminal));
}

async function wait(policy: string, flags: WaitFlags, terminal: Terminal): Promise<void> {
  if (flags.for !== 'enforced') {
    throw new UsageError(`Cannot wait for ${JSON.stringify(flags.for)}: only "enforced" is known`);
  }
  const timeoutMs = readTimeout(flags.timeout);
  const [kindWord, name] = policy.includes('/') ? policy.split('/', 2) : ['networkpolicy', policy];
  const kind = lookupKind(kindWord ?? '');
  if (!isEnforcedKind(kind)) {
    throw new UsageError(
      `Cannot wait for a ${kind.kind} to be enforced: it is no policy and no host endpoint`,
    );
  }
  const client = connect(flags, terminal);
  try {
    const namespace = kind.namespaced ? (flags.namespace ?? client.namespace) : undefined;
    const key = { name: name ?? '', ...(namespace !== undefined && { namespace }) };
    const started = Date.now();
    for (;;) {
      const nodes = await look(client, kind, key);
      const missing = nodes.filter(({ enforced }) => !enforced);
      if (missing.length === 0) {
        const where = nodes.length === 1 ? `node ${nodes[0]?.node}` : `${nodes.length} nodes`;
        terminal.out(`${displayName(kind, key.name)} is enforced on ${where}\n`);
        return;
      }
      if (Date.now() - started >= timeoutMs) {
        throw new CommandFailure(
          `${displayName(kind, key.name)} is not enforced after ${flags.timeout}: ` +
            missing.map(({ node, error = 'behind' }) => `${node}: ${error}`).join('; '),
        );
      }
      await sleep(TURN_MS);
    }
  } finally {
    await client.close();
  }
}

async function look(
  client: ApiClient,
  kind: KindDefinition,
  key: { name: string; namespace?: string },
): Promise<NodeEnforcement[]> {
  const [nodeKind, agentKind] = [kindOf('v1', 'Node'), kindOf('tortie.dev/v1', 'AgentStatus')];
  if (!nodeKind || !agentKind) throw new Error('the kinds Node and AgentStatus are not there');
  const resource = await client.get(kind, key);
  if (!resource) throw new CommandFailure(`Cannot find ${displayName(kind, key.name)}`);
  const [nodes, agents] = await Promise.all([client.list(nodeKind), client.list(agentKind)]);
  if (nodes.items.length === 0) throw new CommandFailure('There is no node to enforce it');
  const statuses = new Map(
    agents.items.map((one): [string, AgentStatus] => [one.metadata.name, one as AgentStatus]),
  );
  return enforcementOf(
    resource,
    nodes.items.map(({ metadata }) => metadata.name),
    statuses,
  );
}

/** `30`, `30s` or `2m`, in milliseconds. */
function readTimeout(text: string): number {
  const match = /^(\d{1,6})(s|m|)$/.exec(text);
  if (!match)
    throw new UsageError(`Cannot read --timeout ${JSON.stringify(text)}: write 30s or 2m`);
  return Number(match[1]) * (match[2] === 'm' ? 60_000 : 1000);
}
