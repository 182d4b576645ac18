// Where a command that judges policies takes its resources from: manifests, else the running cluster.
import type { Command } from 'commander';
import { KINDS, type Resource } from '#api';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { loadManifestFiles } from './manifest-files.ts';
import type { Terminal } from './terminal.ts';

export interface SourceFlags extends ClusterFlags {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
}

/** Kinds that no verdict depends on. */
const NOT_READ: readonly string[] = ['AgentStatus', 'IPAMBlock', 'IPPool'];

/** A command with the flags that say what is judged. */
export function withSourceFlags(command: Command): Command {
  return withClusterFlags(
    command
      .option('-f, --filename <path...>', 'manifests in place of a cluster: files, folders or -')
      .option('-R, --recursive', 'read the folders inside of folders too'),
  );
}

/** The manifests' resources; without manifests, those of the cluster that the flags choose. */
export async function readResources(flags: SourceFlags, terminal: Terminal): Promise<Resource[]> {
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
