// Finds what a user means by NODE_OR_POD in a lab, and runs a program in its network.
import { spawn } from 'node:child_process';
import { closestName, isObject } from '#lib';
import { PEERS_VARIABLE } from './container-environment.ts';
import { readJsonFile } from './json-file.ts';
import { LabError } from './lab-error.ts';
import { LabFolder } from './lab-folder.ts';
import { type LabState, readLabState } from './lab-state.ts';
import { inNamespace, labEnvironment } from './launch.ts';

/** Places in a lab by the names they answer to. */
export function labTargets(
  state: LabState,
  pods: ReadonlyMap<string, string>,
): Map<string, string> {
  const targets = new Map<string, string>();
  for (const { name, namespace } of state.nodes) {
    targets.set(name, namespace);
    targets.set(`node:${name}`, namespace);
  }
  for (const { name, namespace } of state.outside) targets.set(`outside:${name}`, namespace);
  for (const [key, namespace] of pods) targets.set(key, namespace);
  return targets;
}

/**
 * The network namespace of a node (`node-1`), a pod (`shop/cart`, or `cart` where one namespace has it) or a machine
 * outside (`outside:bank`). Throws LabError.
 */
export function findTarget(targets: ReadonlyMap<string, string>, text: string): string {
  const exact = targets.get(text);
  if (exact !== undefined) return exact;
  const short = [...targets.keys()].filter(
    (key) => key.endsWith(`/${text}`) || key.endsWith(`:${text}`),
  );
  const [only] = short;
  if (only !== undefined && short.length === 1) return targets.get(only) ?? '';
  if (short.length > 1) {
    throw new LabError(`Cannot tell which ${text} is meant: use one of ${short.join(', ')}`);
  }
  const near = closestName(text, targets.keys());
  const names = [...targets.keys()].filter((key) => !key.startsWith('node:')).join(', ');
  const hint = near === undefined ? `the lab has ${names}` : `did you mean ${near}?`;
  throw new LabError(`Cannot find ${JSON.stringify(text)} in the lab: ${hint}`);
}

/** Runs a program in the network of a node, pod or machine with this terminal; its exit code. */
export async function execInLab(
  lab: string,
  target: string,
  command: readonly string[],
): Promise<number> {
  const folder = new LabFolder(lab);
  const state = readLabState(folder);
  if (!state) throw new LabError(`Cannot run in lab ${lab}: there is no such lab`);
  const namespace = findTarget(labTargets(state, podNamespaces(folder)), target);
  const [program = '', ...args] = inNamespace(namespace, command);
  const child = spawn(program, args, {
    stdio: 'inherit',
    env: { ...process.env, ...labEnvironment(lab), [PEERS_VARIABLE]: folder.peers },
  });
  // The terminal sends its signals to both: the program decides what they mean.
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)));
  });
}

/** Namespace path by `namespace/pod`. */
function podNamespaces(folder: LabFolder): Map<string, string> {
  const records = readJsonFile(folder.pods);
  const found = new Map<string, string>();
  for (const [key, record] of Object.entries(isObject(records) ? records : {})) {
    if (isObject(record) && typeof record['namespace'] === 'string') {
      found.set(key, record['namespace']);
    }
  }
  return found;
}
