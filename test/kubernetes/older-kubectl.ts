// A kubectl of before 1.27, which reads OpenAPI v2: the machine's own, or one unpacked beside it from Debian's package.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Kept between runs, so that the package is fetched once. */
const CACHE = join(tmpdir(), `tortie-test-cache-${process.getuid?.() ?? 0}`, 'kubernetes-client');

/** The folder to put first into PATH, empty for the machine's own; or why there is none. */
export function olderKubectl(): { readonly folder: string } | { readonly missing: string } {
  if (isOlder('kubectl')) return { folder: '' };
  const folder = join(CACHE, 'usr', 'bin');
  if (!existsSync(join(folder, 'kubectl'))) unpack();
  return isOlder(join(folder, 'kubectl'))
    ? { folder }
    : { missing: 'there is no kubectl before 1.27 on this machine, nor a Debian package of one' };
}

function isOlder(program: string): boolean {
  const { status, stdout } = spawnSync(program, ['version', '--client', '-o', 'json']);
  if (status !== 0) return false;
  const { clientVersion } = JSON.parse(String(stdout)) as { clientVersion: { minor: string } };
  return Number.parseInt(clientVersion.minor, 10) < 27;
}

/** Installs nothing. Does nothing where there is no such package. */
function unpack(): void {
  mkdirSync(join(CACHE, '..'), { recursive: true, mode: 0o700 });
  const folder = mkdtempSync(join(CACHE, '..', 'unpacking-'));
  try {
    execFileSync('apt-get', ['download', 'kubernetes-client'], {
      cwd: folder,
      timeout: 60_000,
      stdio: 'ignore',
    });
    const archive = readdirSync(folder).find((name) => name.endsWith('.deb'));
    if (archive === undefined) return;
    execFileSync('dpkg', ['-x', archive, 'unpacked'], { cwd: folder, timeout: 60_000 });
    renameSync(join(folder, 'unpacked'), CACHE);
  } catch {
    // No apt, no network, or another test was faster: what is there then is looked at.
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
