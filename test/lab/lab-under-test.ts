// A lab for the tests of one file, made by the command itself before them and removed after them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

export const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');
/** Why labs cannot be made here, or false. */
export const noLab = process.getuid?.() === 0 ? false : 'a lab needs root';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `tortie` to its end, without a kubeconfig of the caller's. */
export function tortie(...args: string[]): Promise<Ran> {
  const env = { ...process.env, KUBECONFIG: '' };
  const options = { env, timeout: 120_000, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) => {
    execFile(TORTIE, args, options, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, out, err });
    });
  });
}

export interface LabUnderTest {
  /** Of the test's own files, gone after it. */
  readonly folder: string;
  /** What `lab up` said, to standard error. */
  readonly said: () => string;
}

/** Registers the making and the removal of a lab of these manifests. */
export function useLab(name: string, manifests: string): LabUnderTest {
  const folder = mkdtempSync(join(tmpdir(), `tortie-lab-${name}-`));
  let said = '';
  before(async () => {
    if (noLab) return;
    const file = join(folder, 'lab.yaml');
    writeFileSync(file, manifests);
    const { code, err } = await tortie('lab', 'up', '-f', file, '--name', name);
    assert.equal(code, 0, err);
    said = err;
  });
  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    if (!noLab) await tortie('lab', 'down', name);
  });
  return { folder, said: () => said };
}

/** Waits up to 30 seconds, then fails, with what else there is to say. */
export async function eventually(
  what: string,
  look: () => boolean | Promise<boolean>,
  more: () => string = () => '',
): Promise<void> {
  for (let attempt = 0; attempt < 150; attempt++) {
    if (await look()) return;
    await sleep(200);
  }
  assert.fail(`not seen: ${what}${more()}`);
}
