// Which labs there are, whether they run, and what each consists of.
import { LabFolder } from './lab-folder.ts';
import { type LabState, readLabState } from './lab-state.ts';
import { isAlive, type ProcessRecord, readProcessRecords } from './process-record.ts';
import { existingLabs, KEEPER_LABEL } from './stop-lab.ts';

export interface LabProcess {
  readonly label: string;
  readonly pid: number;
  readonly running: boolean;
  readonly log: string;
}

export interface LabStatus {
  readonly name: string;
  /** `broken`: something of it is left, but its keeper is not running. */
  readonly condition: 'running' | 'broken';
  /** RFC 3339; absent where the lab's state is lost. */
  readonly created?: string;
  readonly kubeconfig: string;
  readonly nodes: LabState['nodes'];
  readonly outside: readonly string[];
  readonly processes: readonly LabProcess[];
}

export function labStatus(name: string): LabStatus {
  const folder = new LabFolder(name);
  const state = readLabState(folder);
  const processes = readProcessRecords(folder).map(processStatus);
  const keeper = processes.find(({ label }) => label === KEEPER_LABEL);
  return {
    name,
    condition: keeper?.running ? 'running' : 'broken',
    ...(state ? { created: state.created } : {}),
    kubeconfig: folder.kubeconfig,
    nodes: state?.nodes ?? [],
    outside: state?.outside.map((machine) => machine.name) ?? [],
    processes,
  };
}

function processStatus(record: ProcessRecord): LabProcess {
  const { label, pid, log } = record;
  return { label, pid, running: isAlive(record), log };
}

/** All labs of this machine. */
export function allLabs(): LabStatus[] {
  return existingLabs().map(labStatus);
}

/** Names of the labs that run. */
export function runningLabs(): string[] {
  return allLabs()
    .filter(({ condition }) => condition === 'running')
    .map(({ name }) => name);
}
