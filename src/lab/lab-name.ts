// Names of labs, and of the network namespaces that belong to them: recognisable without any other state.
import { readdirSync } from 'node:fs';
import { sha1Hex } from '#lib';

export const NAMESPACE_FOLDER = '/run/netns';
export const DEFAULT_LAB = 'demo';

const NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const NAME_MAX = 30;
const OURS = /^tortie-([a-z0-9]+(?:-[a-z0-9]+)*)--/;
const POD_PART_MAX = 150;

/** What is wrong with a lab's name, if anything. Double dashes are what separates it from what follows. */
export function labNameProblem(name: string): string | undefined {
  if (name.length <= NAME_MAX && NAME.test(name)) return undefined;
  return `${JSON.stringify(name)} is no name for a lab: use lower-case letters, digits and single dashes`;
}

/** The nodes of a lab with this many: `node-1`, `node-2` ... */
export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `node-${index + 1}`);
}

function namespacePath(lab: string, part: string): string {
  return `${NAMESPACE_FOLDER}/tortie-${lab}--${part}`;
}

export function underlayNamespace(lab: string): string {
  return namespacePath(lab, 'underlay');
}

export function nodeNamespace(lab: string, node: string): string {
  return namespacePath(lab, node);
}

export function outsideNamespace(lab: string, machine: string): string {
  return namespacePath(lab, `outside-${machine}`);
}

/** One for each life of a pod: the UID tells a pod from the one that had its name before. */
export function podNamespace(lab: string, pod: string, uid: string): string {
  const readable = pod.replace('/', '.').slice(0, POD_PART_MAX);
  return namespacePath(lab, `pod-${readable}-${sha1Hex(`${pod} ${uid}`).slice(0, 8)}`);
}

/** All network namespaces of a lab, as paths. */
export function namespacesOf(lab: string): string[] {
  return boundNamespaces()
    .filter((name) => OURS.exec(name)?.[1] === lab)
    .map((name) => `${NAMESPACE_FOLDER}/${name}`);
}

/** The labs that have a network namespace. */
export function labsWithNamespaces(): string[] {
  const labs = boundNamespaces().map((name) => OURS.exec(name)?.[1]);
  return [...new Set(labs.filter((lab) => lab !== undefined))];
}

function boundNamespaces(): string[] {
  try {
    return readdirSync(NAMESPACE_FOLDER);
  } catch {
    return [];
  }
}
