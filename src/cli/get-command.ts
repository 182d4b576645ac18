// `tortie get`: resources as a table, JSON, YAML or names.
import type { Command } from 'commander';
import { kindOf, type KindDefinition, type Pod, podToWorkloadEndpoint, type Resource } from '#api';
import type { ApiClient } from '#datastore/client';
import { CommandFailure, UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { lookupKind } from './kind-lookup.ts';
import { formatResources, OUTPUTS, readOutput, type ResourceGroup } from './resource-output.ts';
import type { Terminal } from './terminal.ts';

interface GetFlags extends ClusterFlags {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly output?: string;
}

export function addGetCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('get')
    .summary('show resources')
    .description('Shows resources of one kind, or of several with commas between.')
    .argument('<kind>', 'plural, singular or short name, such as pods, np, netpol, gnp, tiers')
    .argument('[name...]', 'only these')
    .option('-n, --namespace <namespace>', 'the namespace to look in')
    .option('-A, --all-namespaces', 'look in all namespaces')
    .option('-l, --selector <selector>', 'only what has these labels, such as app=web,tier!=test')
    .option('-o, --output <format>', OUTPUTS.join('|'));
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie get pods -A -o wide
  tortie get np -n shop              Calico's NetworkPolicy
  tortie get netpol -n data          Kubernetes' own NetworkPolicy
  tortie get tiers,gnp -o yaml
  tortie get wep -A                  pods as policy sees them`,
    )
    .action(async (kinds: string, names: string[], flags: GetFlags) => {
      await get({ kinds: kinds.split(',').map(lookupKind), names }, flags, terminal);
    });
}

interface Wanted {
  readonly kinds: readonly KindDefinition[];
  readonly names: readonly string[];
}

async function get({ kinds, names }: Wanted, flags: GetFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags.output, OUTPUTS);
  if (flags.allNamespaces && flags.namespace !== undefined) {
    throw new UsageError('Cannot use -A and -n together: choose one');
  }
  if (names.length > 0 && (flags.allNamespaces || flags.selector !== undefined)) {
    throw new UsageError('Cannot look for names with -A or -l: give a namespace with -n');
  }
  const client = connect(flags, terminal);
  try {
    const namespace = flags.namespace ?? client.namespace;
    const groups = await Promise.all(
      kinds.map(async (kind) => {
        const scope = kind.namespaced && !flags.allNamespaces ? { namespace } : {};
        return { kind, resources: await read(client, { kind, names, scope, flags }) };
      }),
    );
    const single = names.length === 1 && kinds.length === 1;
    const withNamespace = flags.allNamespaces === true;
    terminal.out(formatResources(groups, { output, single, withNamespace, nowMs: Date.now() }));
    if (isEmpty(groups) && (output === undefined || output === 'wide')) {
      const where = flags.allNamespaces || !kinds.some((kind) => kind.namespaced);
      terminal.err(
        where ? 'No resources found\n' : `No resources found in namespace ${namespace}\n`,
      );
    }
  } finally {
    await client.close();
  }
}

function isEmpty(groups: readonly ResourceGroup[]): boolean {
  return groups.every(({ resources }) => resources.length === 0);
}

interface Query {
  readonly kind: KindDefinition;
  readonly names: readonly string[];
  readonly scope: { readonly namespace?: string };
  readonly flags: GetFlags;
}

async function read(client: ApiClient, query: Query): Promise<Resource[]> {
  const { kind, names, scope, flags } = query;
  if (kind.kind === 'WorkloadEndpoint') return readEndpoints(client, query);
  if (names.length === 0) {
    const { selector } = flags;
    const options = { ...scope, ...(selector === undefined ? {} : { labelSelector: selector }) };
    return (await client.list(kind, options)).items;
  }
  const found = await Promise.all(names.map((name) => client.get(kind, { ...scope, name })));
  return chosen(query, found);
}

function chosen(
  { kind, names, scope }: Query,
  found: readonly (Resource | undefined)[],
): Resource[] {
  const missing = names.filter((_, index) => found[index] === undefined);
  if (missing.length > 0) {
    const where = scope.namespace === undefined ? '' : ` in namespace ${scope.namespace}`;
    throw new CommandFailure(`Cannot get ${kind.plural} ${missing.join(', ')}: not found${where}`);
  }
  return found.filter((resource) => resource !== undefined);
}

/** Workload endpoints follow from pods and are stored nowhere. */
async function readEndpoints(client: ApiClient, query: Query): Promise<Resource[]> {
  const pods = kindOf('v1', 'Pod');
  if (!pods) return [];
  const { items } = await client.list(pods, query.scope);
  const endpoints = items.flatMap((pod) => podToWorkloadEndpoint(pod as Pod) ?? []);
  if (query.names.length === 0) return endpoints;
  return chosen(
    query,
    query.names.map((name) => endpoints.find(({ metadata }) => metadata.name === name)),
  );
}
