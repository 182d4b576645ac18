// Whether this machine can carry a lab: Linux 5.10 or newer, root, nsenter.
import { accessSync, constants } from 'node:fs';
import { release } from 'node:os';
import { delimiter, join } from 'node:path';
import { LabError } from './lab-error.ts';

const KERNEL_MIN = [5, 10] as const;

export interface Host {
  readonly platform: string;
  /** As `uname -r` says. */
  readonly kernel: string;
  readonly userId: number | undefined;
}

/** What a lab cannot do without that is missing; empty where all is there. */
export function hostProblems({ platform, kernel, userId }: Host): string[] {
  if (platform !== 'linux') return [`it needs Linux, this is ${platform}`];
  const problems: string[] = [];
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  if (major < KERNEL_MIN[0] || (major === KERNEL_MIN[0] && minor < KERNEL_MIN[1])) {
    problems.push(`it needs Linux ${KERNEL_MIN.join('.')} or newer, this is ${kernel}`);
  }
  if (userId !== 0) {
    problems.push('it makes network namespaces and needs root, run it with sudo');
  }
  return problems;
}

/** Throws LabError with everything that is missing. */
export function requireLabHost(action: string): void {
  const host = { platform: process.platform, kernel: release(), userId: process.getuid?.() };
  const problems = hostProblems(host);
  if (!isOnPath('nsenter')) problems.push('it needs the program nsenter (package util-linux)');
  if (problems.length > 0) throw new LabError(`Cannot ${action}: ${problems.join('; ')}`);
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
