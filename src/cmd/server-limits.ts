// The flags of `tortie server` for the audit log and for limits, with kube-apiserver's names.
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { type ApiServerOptions, AuditFile, Auditor, readAuditPolicy } from '#apiserver';

export interface LimitFlags {
  readonly auditLogPath?: string;
  readonly auditPolicyFile?: string;
  readonly auditLogMaxsize: number;
  readonly auditLogMaxbackup: number;
  readonly maxRequestsInflight?: number;
  readonly maxMutatingRequestsInflight?: number;
  readonly userRequestsPerSecond?: number;
  readonly userRequestsBurst?: number;
}

const MEBIBYTE = 1024 * 1024;
/** Without a policy file: who did what, once for each request. */
const DEFAULT_POLICY = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`;

export function addLimitFlags(command: Command): Command {
  return command
    .option('--audit-log-path <file>', 'write the audit log; "-" is the standard output')
    .option('--audit-policy-file <file>', 'audit.k8s.io/v1 Policy: what is logged (metadata)')
    .option('--audit-log-maxsize <MiB>', 'size at which its file is set aside', count, 100)
    .option('--audit-log-maxbackup <n>', 'how many older files are kept; 0 for all', natural, 10)
    .option('--max-requests-inflight <n>', 'reads under way at once (400)', count)
    .option('--max-mutating-requests-inflight <n>', 'writes under way at once (200)', count)
    .option('--user-requests-per-second <n>', 'requests of one user for long (500)', count)
    .option('--user-requests-burst <n>', 'requests of one user at once (1000)', count);
}

/** What is given of the limits. */
export function limitsOf(flags: LimitFlags): NonNullable<ApiServerOptions['limits']> {
  const { maxRequestsInflight, maxMutatingRequestsInflight } = flags;
  const { userRequestsPerSecond, userRequestsBurst } = flags;
  return {
    ...(maxRequestsInflight ? { maxInFlight: maxRequestsInflight } : {}),
    ...(maxMutatingRequestsInflight ? { maxMutatingInFlight: maxMutatingRequestsInflight } : {}),
    ...(userRequestsPerSecond ? { userRate: userRequestsPerSecond } : {}),
    ...(userRequestsBurst ? { userBurst: userRequestsBurst } : {}),
  };
}

export interface AuditLog {
  readonly auditor: Auditor | undefined;
  readonly close: () => Promise<void>;
}

/** Throws where the policy is wrong or the file cannot be written. */
export async function openAuditLog(
  flags: LimitFlags,
  onError: (error: unknown) => void,
): Promise<AuditLog> {
  const { auditLogPath: path, auditPolicyFile } = flags;
  if (path === undefined) {
    if (auditPolicyFile === undefined) return { auditor: undefined, close: async () => undefined };
    throw new Error(
      'cannot audit: --audit-policy-file is without effect; give --audit-log-path too',
    );
  }
  const text =
    auditPolicyFile === undefined ? DEFAULT_POLICY : await readFile(auditPolicyFile, 'utf8');
  const policy = readAuditPolicy(text);
  const now = Date.now;
  if (path === '-') {
    const append = (line: string): void => void process.stdout.write(`${line}\n`);
    return { auditor: new Auditor({ policy, append, now }), close: async () => undefined };
  }
  const file = await AuditFile.open({
    path,
    maxBytes: flags.auditLogMaxsize * MEBIBYTE,
    maxBackups: flags.auditLogMaxbackup,
    onError,
  });
  const append = (line: string): void => file.append(line);
  return { auditor: new Auditor({ policy, append, now }), close: () => file.close() };
}

function natural(value: string): number {
  if (!/^\d{1,7}$/.test(value)) throw new InvalidArgumentError('Write a whole number.');
  return Number(value);
}

function count(value: string): number {
  const number = natural(value);
  if (number === 0) throw new InvalidArgumentError('Write a whole number above 0.');
  return number;
}
