// Debian's kernel for guests: downloaded as a package, unpacked into a cache and never installed.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The newest of these that apt knows; else what Debian's release itself has. */
const PREFERRED = '^linux-image-6\\.12\\.[0-9]+\\+deb12-amd64$';
const RELEASE = 'linux-image-amd64';
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/guest', import.meta.url));
/** What a guest may load, as patterns of tar. The network cards of real machines are a hundred megabytes. */
const WANTED = [
  './boot/vmlinuz-*',
  './lib/modules/*/modules.*',
  ...[
    'net',
    'fs/9p',
    'fs/netfs',
    'fs/overlayfs',
    'crypto',
    'lib',
    'arch/x86/crypto',
    'drivers/net',
  ].map((folder) => `./lib/modules/*/kernel/${folder}/*`),
];
const UNWANTED = ['*/drivers/net/ethernet/*', '*/drivers/net/wireless/*'];
const TIMEOUT_MS = 180_000;

export interface GuestKernel {
  readonly version: string;
  /** Path of the bootable image. */
  readonly image: string;
  /** Folder that has `lib/modules/VERSION`. */
  readonly root: string;
}

/** Unpacks the kernel where that has not been done. Throws with what the tool said when it cannot. */
export async function guestKernel(): Promise<GuestKernel> {
  const name = packageName();
  const root = join(CACHE, name);
  if (!existsSync(root)) await unpack(name, root);
  const [version] = readdirSync(join(root, 'lib/modules'));
  if (version === undefined) throw new Error(`no modules in ${root}: remove it and try again`);
  return { version, image: join(root, 'boot', `vmlinuz-${version}`), root };
}

/** What is in the cache already counts more than what apt has by now. */
function packageName(): string {
  const cached = existsSync(CACHE) ? readdirSync(CACHE) : [];
  const [unpacked] = cached.filter((name) => name.startsWith('linux-image-'));
  if (unpacked !== undefined) return unpacked;
  const found = newestPackage();
  if (found !== undefined) return found;
  run('apt-get', ['update', '-q']);
  return newestPackage() ?? releasePackage();
}

function newestPackage(): string | undefined {
  const names = run('apt-cache', ['search', '--names-only', PREFERRED]).split('\n');
  const numeric = new Intl.Collator('en', { numeric: true });
  return names
    .flatMap((line) => line.split(' - ')[0] || [])
    .toSorted(numeric.compare)
    .at(-1);
}

function releasePackage(): string {
  const depends = run('apt-cache', ['depends', '--important', RELEASE]);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`apt knows no kernel: ${RELEASE} depends on none`);
  return name;
}

async function unpack(name: string, root: string): Promise<void> {
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, 'new-'));
  try {
    run('apt-get', ['download', '-q', name], scratch);
    const file = readdirSync(scratch).find((one) => one.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt-get download ${name} left no package`);
    const folder = join(scratch, 'root');
    mkdirSync(folder);
    await extract(join(scratch, file), folder);
    const [version = ''] = readdirSync(join(folder, 'lib/modules'));
    run('depmod', ['-b', folder, version]);
    renameSync(folder, root);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function extract(file: string, folder: string): Promise<void> {
  const unwanted = UNWANTED.map((pattern) => `--exclude=${pattern}`);
  const archive = spawn('dpkg-deb', ['--fsys-tarfile', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const argv = ['-x', '-C', folder, ...unwanted, '--wildcards', ...WANTED];
  const tar = spawn('tar', argv, { stdio: [archive.stdout, 'ignore', 'pipe'] });
  let said = '';
  tar.stderr?.on('data', (chunk) => (said += String(chunk)));
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  await once(tar, 'close', { signal });
  if (!existsSync(join(folder, 'boot'))) throw new Error(`cannot unpack ${file}: ${said}`);
}

function run(program: string, argv: readonly string[], cwd?: string): string {
  const options = {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    ...(cwd !== undefined && { cwd }),
  } as const;
  const { status, stdout, stderr, error } = spawnSync(program, argv, options);
  if (error) throw new Error(`cannot run ${program}: ${error.message}`);
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')} failed: ${stderr}`);
  return stdout;
}
