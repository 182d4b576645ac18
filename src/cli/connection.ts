// Which cluster a command is about: a kubeconfig, a lab by name, or the one lab that runs.
import { existsSync } from 'node:fs';
import { delimiter } from 'node:path';
import { Command } from 'commander';
import { ApiClient, loadKubeconfig } from '#datastore/client';
import { closestName } from '#lib';
import { existingLabs, LabFolder, runningLabs } from '#lab';
import { CommandFailure, UsageError } from './cli-error.ts';
import type { Terminal } from './terminal.ts';

/** The flags that choose a cluster. */
export interface ClusterFlags {
  readonly lab?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** What there is to choose from. */
export interface Clusters {
  /** Value of KUBECONFIG. */
  readonly kubeconfigVariable: string | undefined;
  readonly runningLabs: () => readonly string[];
  /** Those too that broke. */
  readonly existingLabs: () => readonly string[];
}

/** A command with the flags that choose a cluster. */
export function withClusterFlags(command: Command): Command {
  return command
    .option('--lab <name>', 'the lab to ask, where several run')
    .option('--kubeconfig <file>', 'the cluster to ask (also: the variable KUBECONFIG)')
    .option('--context <name>', "the kubeconfig's context to use");
}

/** The kubeconfig file that is meant. Throws UsageError or CommandFailure. */
export function chooseKubeconfig(flags: ClusterFlags, clusters: Clusters): string {
  const { lab, kubeconfig } = flags;
  if (lab !== undefined && kubeconfig !== undefined) {
    throw new UsageError('Cannot use --lab and --kubeconfig together: choose one');
  }
  if (kubeconfig !== undefined) return kubeconfig;
  if (lab !== undefined) return new LabFolder(knownLab(lab, clusters.runningLabs())).kubeconfig;
  const files = (clusters.kubeconfigVariable ?? '').split(delimiter).filter((it) => it !== '');
  const file = files.find((path) => existsSync(path)) ?? files[0];
  if (file !== undefined) return file;
  return new LabFolder(onlyLab(clusters.runningLabs(), clusters.existingLabs())).kubeconfig;
}

function knownLab(name: string, running: readonly string[]): string {
  if (running.includes(name)) return name;
  const near = closestName(name, running);
  const hint =
    near !== undefined
      ? `did you mean ${near}?`
      : running.length > 0
        ? `there are ${running.join(', ')}`
        : 'none runs, start one with "tortie lab up -f FILE"';
  throw new CommandFailure(`Cannot find lab ${JSON.stringify(name)}: ${hint}`);
}

/** The one lab that is meant where no flag says so. */
export function onlyLab(running: readonly string[], existing: readonly string[] = []): string {
  const [first] = running;
  const [broken] = existing;
  if (first === undefined && broken !== undefined) {
    throw new CommandFailure(
      `Cannot use lab ${broken}: it does not run any more; remove it with "tortie lab down ${broken}"`,
    );
  }
  if (first === undefined) {
    throw new CommandFailure(
      'Cannot find a cluster: no lab runs here; start one with "tortie lab up -f FILE", or give --kubeconfig FILE',
    );
  }
  if (running.length > 1) {
    throw new UsageError(`Cannot choose a lab, ${running.join(' and ')} run: say --lab NAME`);
  }
  return first;
}

/** The lab that a lab command is about. */
export function chooseLab(flags: Pick<ClusterFlags, 'lab'>): string {
  const running = labsOf(runningLabs);
  return flags.lab === undefined
    ? onlyLab(running, labsOf(existingLabs))
    : knownLab(flags.lab, running);
}

/** Labs belong to root: says so where others ask. */
export function labsOf(find: typeof existingLabs): string[] {
  try {
    return find();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EACCES') {
      throw new CommandFailure('Cannot look for labs: they belong to root, run it with sudo');
    }
    throw error;
  }
}

/** A client of the chosen cluster; whoever asks for it closes it. */
export function connect(flags: ClusterFlags, terminal: Terminal): ApiClient {
  const path = chooseKubeconfig(flags, {
    kubeconfigVariable: terminal.environment['KUBECONFIG'],
    runningLabs: () => labsOf(runningLabs),
    existingLabs: () => labsOf(existingLabs),
  });
  try {
    return new ApiClient(loadKubeconfig(path, flags.context));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`Cannot use the kubeconfig ${path}: ${reason}`);
  }
}
