// Runs the real program without cluster, network or root, and writes the manifests that it reads.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export const ROOT = join(import.meta.dirname, '..', '..');
export const EXAMPLE = join(ROOT, 'examples', 'offline');
const PROGRAM = join(ROOT, 'bin', 'tortie');

export interface Ran {
  readonly exitCode: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `bin/tortie` in the project's folder, where no cluster is to be found. */
export function tortie(words: readonly string[], input = ''): Ran {
  const { PATH = '' } = process.env;
  const { status, stdout, stderr } = spawnSync(PROGRAM, words, {
    input,
    cwd: ROOT,
    env: { PATH, KUBECONFIG: '/nonexistent/kubeconfig' },
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  return { exitCode: status, out: stdout, err: stderr };
}

/** A folder with these files, gone after the test. */
export function folderWith(context: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-offline-'));
  context.after(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}
