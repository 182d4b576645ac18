// How a user says this program from where they are.
import { realpathSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';

/** How a user says this program: `tortie` where that is it, else the way to it from here. */
export function programName(executable: string): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const found = folders.some((folder) => {
    try {
      return realpathSync(join(folder, 'tortie')) === realpathSync(executable);
    } catch {
      return false;
    }
  });
  return found ? 'tortie' : relative(process.cwd(), executable) || executable;
}
