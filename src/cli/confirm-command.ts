// `tortie confirm`, and what `tortie apply --confirm-within` announces before it changes anything.
import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration, type PendingChange, pendingChangeKind, type Resource } from '#api';
import { type ApiClient, ApiError } from '#datastore/client';
import { CommandFailure } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import type { Terminal } from './terminal.ts';

/** Reads `60s` or `5m` into seconds. */
export function readConfirmWithin(text: string): number {
  const seconds = Math.ceil((parseDuration(text) ?? 0) / 1000);
  if (seconds >= 1 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError('Write a duration from 1s to 24h, such as 60s.');
}

/**
 * Has the server remember what these resources are now, and put it back unless the change is confirmed in
 * time. Returns the name of the change. `resources` have their namespaces.
 */
export async function announceChange(
  client: ApiClient,
  resources: readonly Resource[],
  confirmWithinSeconds: number,
): Promise<string> {
  const objects = resources.map(({ apiVersion, kind, metadata: { name, namespace } }) => ({
    apiVersion,
    kind,
    name,
    ...(namespace !== undefined && { namespace }),
  }));
  const change = {
    apiVersion: 'tortie.dev/v1',
    kind: 'PendingChange',
    metadata: { generateName: 'change-' },
    spec: { confirmWithinSeconds, objects },
  };
  const created = await client.create(pendingChangeKind, change as unknown as Resource);
  return created.metadata.name;
}

export function addConfirmCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('confirm')
    .summary('keep what "apply --confirm-within" changed')
    .description('Keeps a change that would otherwise be undone when its time is over.')
    .argument('[name]', 'the change; without it, all that wait');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Example:
  tortie apply --confirm-within 60s -f host-policy.yaml && tortie confirm`,
    )
    .action(async (name: string | undefined, flags: ClusterFlags) => {
      const client = connect(flags, terminal);
      try {
        for (const line of await confirmChanges(client, name)) terminal.out(`${line}\n`);
      } finally {
        await client.close();
      }
    });
}

/** Throws CommandFailure where there is nothing to confirm, or it is too late. */
async function confirmChanges(client: ApiClient, name: string | undefined): Promise<string[]> {
  const { items } = await client.list(pendingChangeKind);
  const waiting = items.filter((item) => name === undefined || item.metadata.name === name);
  if (waiting.length === 0) {
    const what = name === undefined ? 'any change that waits' : `a change ${JSON.stringify(name)}`;
    throw new CommandFailure(`Cannot find ${what}: it is confirmed already, or undone`);
  }
  const lines: string[] = [];
  for (const change of waiting) {
    await confirmOne(client, change as PendingChange);
    lines.push(`${change.metadata.name} confirmed`);
  }
  return lines;
}

/** The server writes to a change before it undoes it, so the revision tells who was first. */
async function confirmOne(client: ApiClient, change: PendingChange): Promise<void> {
  const { name, resourceVersion } = change.metadata;
  const late = `Cannot confirm ${name}: it is being undone; apply the change again`;
  if (change.status?.undoingSince !== undefined) throw new CommandFailure(late);
  try {
    await client.delete(
      pendingChangeKind,
      { name },
      resourceVersion === undefined ? {} : { resourceVersion },
    );
  } catch (error) {
    if (error instanceof ApiError && (error.conflict || error.notFound)) {
      throw new CommandFailure(late);
    }
    throw error;
  }
}
