// Whether a machine is one that Tortie can work on: Linux 5.10 or newer, and root where the kernel is changed.

const KERNEL_MIN = [5, 10] as const;

export interface Host {
  readonly platform: string;
  /** As `uname -r` says. */
  readonly kernel: string;
  readonly userId: number | undefined;
}

/** What is missing, as sentences that begin with `it`; `purpose` continues `it …` and says why root is needed. */
export function hostProblems({ platform, kernel, userId }: Host, purpose: string): string[] {
  if (platform !== 'linux') return [`it needs Linux, this is ${platform}`];
  const problems: string[] = [];
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  if (major < KERNEL_MIN[0] || (major === KERNEL_MIN[0] && minor < KERNEL_MIN[1])) {
    problems.push(`it needs Linux ${KERNEL_MIN.join('.')} or newer, this is ${kernel}`);
  }
  if (userId !== 0) problems.push(`it ${purpose} and needs root, run it with sudo`);
  return problems;
}
