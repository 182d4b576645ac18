// Removes a lab, whatever is left of it: processes, network namespaces, files.
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { deleteNamespace } from '#linux';
import { labsWithNamespaces, namespacesOf } from './lab-name.ts';
import { LabFolder, labsWithFolders } from './lab-folder.ts';
import { LabError } from './lab-error.ts';
import {
  findProcesses,
  isAlive,
  type ProcessId,
  readProcessRecords,
  signalProcess,
} from './process-record.ts';

export interface Removed {
  readonly processes: number;
  readonly namespaces: number;
}

export const KEEPER_LABEL = 'keeper';
const GRACE_MS = 1_500;
const KILL_MS = 2_000;
const POLL_MS = 20;
const ROUNDS_MAX = 5;

/** Every lab that something is left of, by name. */
export function existingLabs(): string[] {
  return [...new Set([...labsWithFolders(), ...labsWithNamespaces()])].toSorted();
}

/**
 * Ends what runs in the lab or for it, then removes its namespaces and files. Nothing left to remove is no error.
 * Throws LabError when a process does not end.
 */
export async function stopLab(name: string): Promise<Removed> {
  const folder = new LabFolder(name);
  const namespaces = namespacesOf(name);
  const keepers = readProcessRecords(folder).filter(({ label }) => label === KEEPER_LABEL);
  const ended = new Set<number>();
  // First the keeper: nobody starts anything again.
  await endAll(keepers.filter(isAlive), ended);
  for (let round = 0; ; round++) {
    const recorded = readProcessRecords(folder).filter(isAlive);
    const left = [...recorded, ...findProcesses(namespaces, name)];
    if (left.length === 0) break;
    if (round === ROUNDS_MAX) {
      const pids = left.map(({ pid }) => pid).join(', ');
      throw new LabError(`Cannot remove lab ${name}: processes ${pids} do not end; try again`);
    }
    await endAll(left, ended);
  }
  const gone = namespacesOf(name);
  for (const path of gone) deleteNamespace(path);
  rmSync(folder.path, { recursive: true, force: true });
  return { processes: ended.size, namespaces: gone.length };
}

async function endAll(processes: readonly ProcessId[], ended: Set<number>): Promise<void> {
  for (const { pid } of processes) ended.add(pid);
  for (const id of processes) signalProcess(id, 'SIGTERM');
  await untilGone(processes, GRACE_MS);
  for (const id of processes) signalProcess(id, 'SIGKILL');
  await untilGone(processes, KILL_MS);
}

async function untilGone(processes: readonly ProcessId[], waitMs: number): Promise<void> {
  for (let waited = 0; waited < waitMs && processes.some(isAlive); waited += POLL_MS) {
    await sleep(POLL_MS);
  }
}
