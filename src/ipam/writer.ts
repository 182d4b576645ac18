// Carries writes out stage by stage, and tells which blocks' writes failed.
import type { Resource } from '#api';
import { ApiError } from '#datastore/client';
import type { Inventory, IpamClient } from './inventory.ts';
import type { Stage, Write } from './writes.ts';

/** What went wrong, by the name of the block whose write failed or was not made. */
export type Faults = ReadonlyMap<string, unknown>;

export interface Carried {
  readonly faults: Faults;
  /** What stage 3 failed in, by the same name: the block itself is written. */
  readonly undone: Faults;
}

const STAGES: readonly Stage[] = [1, 2, 3];

/**
 * Writes, each of a stage at the same time. What stage 3 leaves undone does no harm: the blocks say
 * what holds, and whoever works with the block next brings the rest in line. The inventory learns all.
 */
export async function carryOut(
  client: IpamClient,
  inventory: Inventory,
  writes: readonly Write[],
): Promise<Carried> {
  const faults = new Map<string, unknown>();
  const undone = new Map<string, unknown>();
  const versions = new Map<string, string | undefined>();
  for (const stage of STAGES) {
    const due = writes.filter((write) => write.stage === stage && !faults.has(write.block));
    await Promise.all(
      due.map(async (write) => {
        try {
          const written = await carry(client, write, versions);
          if (written) inventory.record(written);
          else inventory.forget(write.kind.kind, write.resource.metadata.name);
        } catch (error) {
          inventory.doubt();
          const failed = stage === 3 ? undone : faults;
          if (!failed.has(write.block)) failed.set(write.block, error);
        }
      }),
    );
  }
  return { faults, undone };
}

async function carry(
  client: IpamClient,
  { verb, kind, resource, stage }: Write,
  versions: Map<string, string | undefined>,
): Promise<Resource | undefined> {
  const id = `${kind.kind} ${resource.metadata.name}`;
  const resourceVersion = resource.metadata.resourceVersion ?? versions.get(id);
  const { name } = resource.metadata;
  if (verb === 'delete') {
    // Without a revision it would be deleted whatever it has become.
    if (resourceVersion === undefined) throw new ApiError(409, 'Conflict', `${id} has no revision`);
    await deleteOnce(client, kind, name, resourceVersion);
    return undefined;
  }
  const versioned =
    resourceVersion === undefined
      ? resource
      : { ...resource, metadata: { ...resource.metadata, resourceVersion } };
  const written = await (verb === 'create'
    ? client.create(kind, versioned)
    : client.replace(kind, versioned));
  if (stage === 1) versions.set(id, written.metadata.resourceVersion);
  return written;
}

async function deleteOnce(
  client: IpamClient,
  kind: Write['kind'],
  name: string,
  resourceVersion: string,
): Promise<void> {
  try {
    await client.delete(kind, { name }, { resourceVersion });
  } catch (error) {
    if (!(error instanceof ApiError && error.notFound)) throw error;
  }
}

/** Somebody else wrote, made or removed the object first: nothing of ours is in it. */
export function isRaceLost(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 409 || error.status === 404);
}
