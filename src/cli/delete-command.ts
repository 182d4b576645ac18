// `tortie delete`: removes what manifests name, or resources by kind and name.
import type { Command } from 'commander';
import type { KindDefinition } from '#api';
import { type ApiClient, ApiError } from '#datastore/client';
import { definitionOf, inApplyOrder, inNamespace } from './apply-resources.ts';
import { UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { displayName, lookupKind } from './kind-lookup.ts';
import { loadManifestFiles } from './manifest-files.ts';
import type { Terminal } from './terminal.ts';
import { WriteReport } from './write-report.ts';

interface DeleteFlags extends ClusterFlags {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly namespace?: string;
  readonly ignoreNotFound?: boolean;
  readonly skipNotExists?: boolean;
  readonly skipEmpty?: boolean;
}

interface Victim {
  readonly kind: KindDefinition;
  readonly name: string;
  readonly namespace: string | undefined;
}

export function addDeleteCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('delete')
    .summary('remove resources')
    .description('Removes what manifests name, or resources by kind and name.')
    .argument('[kind]', 'a kind, where no -f is given')
    .argument('[name...]', 'their names')
    .option('-f, --filename <path...>', 'files, folders, or - for standard input')
    .option('-R, --recursive', 'read the folders inside of folders too')
    .option('-n, --namespace <namespace>', 'the namespace they are in')
    .option('--ignore-not-found', 'what is not there is no failure')
    .option('-s, --skip-not-exists', "the same in calicoctl's words")
    .option('--skip-empty', 'manifests without a resource are no failure');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie delete pod intruder -n web
  tortie delete gnp security.quarantine
  tortie delete -f examples/shop`,
    )
    .action(async (kind: string | undefined, names: string[], flags: DeleteFlags) => {
      await remove({ kind, names }, flags, terminal);
    });
}

interface Words {
  readonly kind: string | undefined;
  readonly names: readonly string[];
}

async function remove(words: Words, flags: DeleteFlags, terminal: Terminal): Promise<void> {
  const find = await victims(words, flags, terminal);
  const client = connect(flags, terminal);
  try {
    const report = new WriteReport('delete');
    const skip = flags.ignoreNotFound === true || flags.skipNotExists === true;
    for (const victim of find(flags.namespace ?? client.namespace)) {
      const failure = await removeOne(client, victim, skip);
      const name = displayName(victim.kind, victim.name);
      if (failure === undefined) {
        report.done(victim.kind);
        terminal.out(`${name} deleted\n`);
      } else if (failure === '') report.skipped(victim.kind);
      else report.failed(victim.kind, name, failure);
    }
    terminal.out(`${report.conclude()}\n`);
  } finally {
    await client.close();
  }
}

/** What is to go, once the default namespace is known. */
async function victims(
  { kind, names }: Words,
  flags: DeleteFlags,
  terminal: Terminal,
): Promise<(namespace: string) => Victim[]> {
  if (flags.filename !== undefined) {
    if (kind !== undefined)
      throw new UsageError('Cannot delete by -f and by name together: choose one');
    const recursive = flags.recursive === true;
    const { resources } = await loadManifestFiles(flags.filename, { recursive }, terminal);
    if (resources.length === 0 && flags.skipEmpty !== true) {
      throw new UsageError(
        'Cannot delete: there is no resource in it; --skip-empty makes that no failure',
      );
    }
    return (namespace) =>
      inApplyOrder(resources)
        .toReversed()
        .map((resource) => inNamespace(resource, namespace))
        .map((resource) => ({
          kind: definitionOf(resource),
          name: resource.metadata.name,
          namespace: resource.metadata.namespace,
        }));
  }
  if (kind === undefined || names.length === 0) {
    throw new UsageError('Cannot delete nothing: give -f FILE, or a kind and names');
  }
  const definition = lookupKind(kind);
  return (namespace) =>
    names.map((name) => ({
      kind: definition,
      name,
      namespace: definition.namespaced ? namespace : undefined,
    }));
}

/** Undefined where it is gone now; empty where it was not there and that is fine; else what is wrong. */
async function removeOne(
  client: ApiClient,
  { kind, name, namespace }: Victim,
  ignoreNotFound: boolean,
): Promise<string | undefined> {
  try {
    await client.delete(kind, { name, ...(namespace === undefined ? {} : { namespace }) });
    return undefined;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (!error.notFound) return error.message;
    if (ignoreNotFound) return '';
    return namespace === undefined ? 'not found' : `not found in namespace ${namespace}`;
  }
}
