// `tortie apply`: makes the cluster hold what manifests say.
import type { Command } from 'commander';
import type { ApiClient } from '#datastore/client';
import type { Resource } from '#api';
import { applyResource, definitionOf, inApplyOrder, inNamespace } from './apply-resources.ts';
import { CommandFailure, UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { displayName } from './kind-lookup.ts';
import { loadManifestFiles } from './manifest-files.ts';
import type { Terminal } from './terminal.ts';

interface ApplyFlags extends ClusterFlags {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly namespace?: string;
}

export function addApplyCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('apply')
    .summary('create or change resources from manifests')
    .description(
      'Creates what manifests name, or replaces it where it differs. Nothing is applied while a manifest is malformed.',
    )
    .requiredOption('-f, --filename <path...>', 'files, folders, or - for standard input')
    .option('-R, --recursive', 'read the folders inside of folders too')
    .option('-n, --namespace <namespace>', 'for resources that do not say one');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie apply -f examples/shop
  kubectl get netpol -A -o yaml | tortie apply -f - --lab demo`,
    )
    .action((flags: ApplyFlags) => apply(flags, terminal));
}

async function apply(flags: ApplyFlags, terminal: Terminal): Promise<void> {
  const recursive = flags.recursive === true;
  const loaded = await loadManifestFiles(flags.filename, { recursive }, terminal);
  if (loaded.labs.length > 0) {
    terminal.err('warning: a manifest of kind Lab is for "tortie lab up" alone; left out\n');
  }
  if (loaded.resources.length === 0)
    throw new UsageError('Cannot apply: there is no resource in it');
  const client = connect(flags, terminal);
  try {
    const namespace = flags.namespace ?? client.namespace;
    const report = (line: string) => terminal.out(`${line}\n`);
    await applyAll(client, loaded.resources, { namespace, report });
  } finally {
    await client.close();
  }
}

export interface ApplyAllOptions {
  /** For resources that do not say one. */
  readonly namespace: string;
  /** One line for each resource. */
  readonly report: (line: string) => void;
}

/** Applies in order of dependency; one that fails does not stop the others. Throws CommandFailure with all. */
export async function applyAll(
  client: ApiClient,
  resources: readonly Resource[],
  { namespace, report }: ApplyAllOptions,
): Promise<void> {
  const failures: string[] = [];
  for (const resource of inApplyOrder(resources).map((it) => inNamespace(it, namespace))) {
    const name = displayName(definitionOf(resource), resource.metadata.name);
    try {
      report(`${name} ${await applyResource(client, resource)}`);
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (failures.length > 0) throw new CommandFailure(`Cannot apply:\n${failures.join('\n')}`);
}
