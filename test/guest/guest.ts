// Runs a program under another kernel: a QEMU guest without acceleration, whose files are those of this machine.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type GuestKernel, guestKernel } from './guest-kernel.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
/** What the guest needs to see files; the rest it loads by itself. */
const MODULES = ['9pnet_virtio', '9p', 'overlay'];
const MEMORY_MB = 1536;
/** A plain processor: wide vectors and protection keys are slow to emulate, and what emulates them is young. */
const PROCESSOR = 'Nehalem';

export interface GuestRun {
  /** Of the program; undefined when the guest did not come to its end. */
  readonly status: number | undefined;
  /** What the program wrote, both streams. */
  readonly output: string;
  /** What the guest's kernel said. */
  readonly console: string;
  readonly seconds: number;
}

/**
 * Boots a guest, runs a program in the project's folder as root, and switches it off. What it writes to files is
 * lost. After `seconds` the guest is ended, whatever it does.
 */
export async function runInGuest(argv: readonly string[], seconds: number): Promise<GuestRun> {
  const started = performance.now();
  const kernel = await guestKernel();
  const folder = mkdtempSync(join(tmpdir(), 'tortie-guest-'));
  try {
    const job = join(folder, 'job');
    mkdirSync(job);
    writeFileSync(join(job, 'argv'), argv.map((argument) => `${argument}\n`).join(''));
    writeFileSync(join(job, 'folder'), PROJECT);
    copyFileSync(new URL('job.sh', import.meta.url), join(job, 'job.sh'));
    const initramfs = join(folder, 'initramfs');
    writeFileSync(initramfs, makeInitramfs(kernel, join(folder, 'initial')));
    const console = await boot(kernel, { initramfs, job, seconds });
    const read = (name: string) =>
      existsSync(join(job, name)) ? readFileSync(join(job, name), 'utf8') : '';
    const status = read('status').trim();
    return {
      status: status === '' ? undefined : Number(status),
      output: read('output'),
      console,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface BootOptions {
  readonly initramfs: string;
  readonly job: string;
  readonly seconds: number;
}

/** What came by the serial line until the guest was off. */
async function boot(kernel: GuestKernel, options: BootOptions): Promise<string> {
  const share = (tag: string, path: string, more: string) =>
    `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${more}`;
  const argv = [
    ['-accel', 'tcg,thread=multi', '-cpu', PROCESSOR, '-smp', '2', '-m', String(MEMORY_MB)],
    ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
    ['-kernel', kernel.image, '-initrd', options.initramfs],
    ['-append', 'console=ttyS0 quiet panic=-1 mitigations=off'],
    ['-virtfs', share('host', '/', ',readonly=on')],
    ['-virtfs', share('job', options.job, '')],
  ].flat();
  // It ends in time also where this process is killed before.
  const bounded = ['-s', 'KILL', String(options.seconds), 'qemu-system-x86_64', ...argv];
  const guest = spawn('timeout', bounded, { stdio: ['ignore', 'pipe', 'pipe'] });
  const end = () => void guest.kill('SIGTERM');
  process.once('exit', end);
  let console = '';
  for (const stream of [guest.stdout, guest.stderr]) {
    stream.on('data', (chunk) => (console += String(chunk)));
  }
  try {
    await once(guest, 'close');
  } finally {
    process.off('exit', end);
  }
  return console;
}

/** An archive for the kernel: busybox, the modules that the root file system takes, and what to do first. */
function makeInitramfs({ version, root }: GuestKernel, folder: string): Buffer {
  for (const name of ['bin', 'modules']) mkdirSync(join(folder, name), { recursive: true });
  copyFileSync('/bin/busybox', join(folder, 'bin/busybox'));
  copyFileSync(new URL('init.sh', import.meta.url), join(folder, 'init'));
  const order = new Set<string>();
  for (const module of MODULES) {
    const shown = command('modprobe', ['-d', root, '-S', version, '--show-depends', module]);
    for (const [, path] of shown.matchAll(/^insmod (\S+)/gm)) if (path) order.add(path);
  }
  const names: string[] = [];
  for (const path of order) {
    const module = basename(path, '.xz');
    const isPacked = path.endsWith('.xz');
    const content = isPacked ? pipe(['unxz', '-c', path]) : readFileSync(path);
    writeFileSync(join(folder, 'modules', module), content);
    names.push(`${module}\n`);
  }
  writeFileSync(join(folder, 'modules/order'), names.join(''));
  writeFileSync(join(folder, 'modules/root'), root);
  const files = readdirSync(folder, { recursive: true }).join('\n');
  return gzipSync(pipe(['cpio', '-o', '-H', 'newc'], { cwd: folder, input: files }), { level: 1 });
}

/** What a tool of busybox writes. */
function pipe(argv: readonly string[], options: { cwd?: string; input?: string } = {}): Buffer {
  const result = spawnSync('busybox', argv, { ...options, maxBuffer: 1 << 28 });
  const { status, stdout, stderr } = result;
  if (status !== 0) throw new Error(`busybox ${argv.join(' ')} failed: ${String(stderr)}`);
  return stdout;
}

function command(program: string, argv: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, argv, { encoding: 'utf8' });
  if (error) throw new Error(`cannot run ${program}: ${error.message}`);
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')} failed: ${stderr}`);
  return stdout;
}
