// Whether this machine can carry a lab: Linux 5.10 or newer, root, nsenter.
import { accessSync, constants } from 'node:fs';
import { release } from 'node:os';
import { delimiter, join } from 'node:path';
import { hostProblems } from '#linux';
import { LabError } from './lab-error.ts';

/** Throws LabError with everything that is missing. */
export function requireLabHost(action: string): void {
  const host = { platform: process.platform, kernel: release(), userId: process.getuid?.() };
  const problems = hostProblems(host, 'makes network namespaces');
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
