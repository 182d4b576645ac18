// The flags of commands that read manifests to write them, and the resources that they name.
import type { Command } from 'commander';
import type { Resource } from '#api';
import type { ApiClient } from '#datastore/client';
import { inApplyOrder, inNamespace } from './apply-resources.ts';
import { UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { loadManifestFiles } from './manifest-files.ts';
import type { Terminal } from './terminal.ts';

export interface ManifestFlags extends ClusterFlags {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly namespace?: string;
}

/** A command with calicoctl's flags for manifests. */
export function withManifestFlags(command: Command): Command {
  return withClusterFlags(
    command
      .requiredOption('-f, --filename <path...>', 'files, folders, or - for standard input')
      .option('-R, --recursive', 'read the folders inside of folders too')
      .option('--skip-empty', 'manifests without a resource are no failure')
      .option('-n, --namespace <namespace>', 'for resources that do not say one'),
  );
}

/**
 * Reads the manifests and calls `write` with their resources in order of dependency, each in its
 * namespace. Throws UsageError for malformed manifests before anything is written.
 */
export async function writeManifests(
  verb: string,
  { flags, terminal }: { flags: ManifestFlags; terminal: Terminal },
  write: (client: ApiClient, resources: readonly Resource[]) => Promise<void>,
): Promise<void> {
  const recursive = flags.recursive === true;
  const loaded = await loadManifestFiles(flags.filename, { recursive }, terminal);
  if (loaded.labs.length > 0) {
    terminal.err('warning: a manifest of kind Lab is for "tortie lab up" alone; left out\n');
  }
  if (loaded.resources.length === 0) {
    if (flags.skipEmpty === true) return;
    throw new UsageError(
      `Cannot ${verb}: there is no resource in it; --skip-empty makes that no failure`,
    );
  }
  const client = connect(flags, terminal);
  try {
    const namespace = flags.namespace ?? client.namespace;
    await write(
      client,
      inApplyOrder(loaded.resources).map((it) => inNamespace(it, namespace)),
    );
  } finally {
    await client.close();
  }
}
