// The manifest of kind Lab: how many nodes, and which machines stand outside of the cluster.
import type { Problem } from '#api';
import { isObject, parseAddress } from '#lib';

export const LAB_API_VERSION = 'lab.tortie.dev/v1';
export const LAB_KIND = 'Lab';

/** A machine that is no node: a namespace with addresses of its own and a program. */
export interface OutsideMachine {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly command: readonly string[];
}

export interface LabSpec {
  readonly nodes?: number;
  readonly outside: readonly OutsideMachine[];
}

export const NODES_MAX = 50;
const OUTSIDE_MAX = 50;
const MACHINE_NAME = /^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$/;

/** Whether a manifest is for the lab itself: it is never stored in the API. */
export function isLabManifest(value: unknown): boolean {
  return isObject(value) && value['apiVersion'] === LAB_API_VERSION && value['kind'] === LAB_KIND;
}

/** Reads a Lab manifest's `spec`, with everything that is wrong with it. */
export function readLabSpec(manifest: unknown): { spec: LabSpec; problems: Problem[] } {
  const problems: Problem[] = [];
  const report = (path: string, message: string) =>
    void problems.push({ path, message, severity: 'error' });
  const spec = isObject(manifest) ? manifest['spec'] : undefined;
  if (!isObject(spec)) {
    report('spec', 'is required, such as {nodes: 3}');
    return { spec: { outside: [] }, problems };
  }
  for (const field of Object.keys(spec)) {
    if (field !== 'nodes' && field !== 'outside')
      report(`spec.${field}`, 'unknown field; allowed are nodes, outside');
  }
  const nodes = spec['nodes'];
  const nodeCount = readNodeCount(nodes);
  if (nodes !== undefined && nodeCount === undefined) {
    report(
      'spec.nodes',
      `must be a whole number from 1 to ${NODES_MAX}, is ${JSON.stringify(nodes)}`,
    );
  }
  const outside = readOutside(spec['outside'] ?? [], report);
  return { spec: { outside, ...(nodeCount === undefined ? {} : { nodes: nodeCount }) }, problems };
}

/** A count of nodes that a lab can have. */
export function readNodeCount(value: unknown): number | undefined {
  const count = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof count !== 'number' || !Number.isInteger(count)) return undefined;
  return count >= 1 && count <= NODES_MAX ? count : undefined;
}

type Report = (path: string, message: string) => void;

function readOutside(value: unknown, report: Report): OutsideMachine[] {
  if (!Array.isArray(value) || value.length > OUTSIDE_MAX) {
    report('spec.outside', `must be a list of at most ${OUTSIDE_MAX} machines`);
    return [];
  }
  const names = new Set<string>();
  return value.flatMap((item: unknown, index) => {
    const path = `spec.outside[${index}]`;
    const machine = readMachine(item, path, report);
    if (machine && names.has(machine.name))
      report(`${path}.name`, `"${machine.name}" is there twice`);
    if (machine) names.add(machine.name);
    return machine ? [machine] : [];
  });
}

function readMachine(item: unknown, path: string, report: Report): OutsideMachine | undefined {
  if (!isObject(item)) {
    report(path, 'must be an object with name, addresses and command');
    return undefined;
  }
  const { name, addresses, command } = item;
  if (typeof name !== 'string' || !MACHINE_NAME.test(name)) {
    report(`${path}.name`, 'must be lower-case letters, digits and dashes, at most 30');
    return undefined;
  }
  if (!isTexts(addresses) || addresses.length === 0 || !addresses.every((it) => parseAddress(it))) {
    report(`${path}.addresses`, 'must be a list of IPv4 or IPv6 addresses, at least one');
    return undefined;
  }
  if (!isTexts(command) || command.length === 0) {
    report(`${path}.command`, 'must be a list of texts: the program and its arguments');
    return undefined;
  }
  return { name, addresses, command };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
