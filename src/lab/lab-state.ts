// What a lab consists of, written down before anything of it is made.
import { isObject } from '#lib';
import { readJsonFile, writeJsonFile } from './json-file.ts';
import type { LabFolder } from './lab-folder.ts';
import type { OutsideMachine } from './lab-spec.ts';

export interface LabNode {
  readonly name: string;
  /** Path of its network namespace. */
  readonly namespace: string;
  /** IPv4 first, then IPv6. */
  readonly addresses: readonly string[];
}

export interface LabState {
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  /** Path of the network namespace that joins the nodes. */
  readonly underlay: string;
  readonly nodes: readonly LabNode[];
  readonly outside: readonly (OutsideMachine & { readonly namespace: string })[];
  /** Of the server, on loopback. */
  readonly port: number;
  /** The `tortie` program that the lab runs. */
  readonly executable: string;
  /** Where the programs of pods start, unless a container says otherwise. */
  readonly workingFolder: string;
  /** Where the server keeps its objects; in its data folder when absent. */
  readonly etcdEndpoints?: string;
}

export function writeLabState(folder: LabFolder, state: LabState): void {
  writeJsonFile(folder.state, state);
}

/** The state of a lab; undefined where there is none, or it is not ours to read as such. */
export function readLabState(folder: LabFolder): LabState | undefined {
  const value = readJsonFile(folder.state);
  return isLabState(value) ? value : undefined;
}

function isLabState(value: unknown): value is LabState {
  return (
    isObject(value) &&
    typeof value['name'] === 'string' &&
    typeof value['underlay'] === 'string' &&
    typeof value['executable'] === 'string' &&
    typeof value['port'] === 'number' &&
    Array.isArray(value['nodes']) &&
    Array.isArray(value['outside'])
  );
}
