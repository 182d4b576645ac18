// Reads files that flags and variables name; what is wrong says which one, its path, why, and what to do.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface GivenFile {
  /** Who names it: `--tls-cert-file`, `ETCD_CA_CERT_FILE`. */
  readonly name: string;
  readonly path: string;
  readonly holds: Holds;
}

/** `certificates`: PEM of one or more. `key`: PEM of a private key without passphrase. `text`: anything. */
export type Holds = 'certificates' | 'key' | 'text';

/** Throws an Error. */
export function readGivenFile(file: GivenFile): Buffer {
  const found = look(file);
  if (typeof found === 'string') throw new Error(`cannot use ${found}`);
  return found;
}

/** Throws an Error that tells of all that cannot be used. */
export function checkGivenFiles(files: readonly GivenFile[]): void {
  const problems = files.map(look).filter((found) => typeof found === 'string');
  if (problems.length > 0) throw new Error(`cannot use ${problems.join('; cannot use ')}`);
}

/** Why a file cannot be read, in words. */
export function readingProblem(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const known = REASONS[code];
  if (known !== undefined) return known;
  return code === '' ? (error instanceof Error ? error.message : String(error)) : code;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder, not a file',
  EACCES: 'this user may not read it; change its owner or mode',
  EPERM: 'this user may not read it; change its owner or mode',
  ELOOP: 'its symbolic links go round in a circle',
  ENAMETOOLONG: 'the path is too long',
};

const WANTED: Readonly<Record<Holds, string>> = {
  certificates: 'give a PEM file with a certificate',
  key: 'give a PEM file with a private key without passphrase',
  text: 'give the path of a file',
};

/** The content, or what is wrong with the file. */
function look({ name, path, holds }: GivenFile): Buffer | string {
  const which = `${name} ${JSON.stringify(path)}`;
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    const reason = readingProblem(error);
    return `${which}: ${reason}${reason.includes(';') ? '' : `; ${WANTED[holds]}`}`;
  }
  const problem = contentProblem(content, holds);
  return problem === undefined ? content : `${which}: ${problem}; ${WANTED[holds]}`;
}

/** Says nothing of what is in a file but of what kind it is. */
function contentProblem(content: Buffer, holds: Holds): string | undefined {
  if (holds === 'text') return undefined;
  const text = content.toString('latin1');
  const hasKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text);
  const hasCertificate = text.includes('-----BEGIN CERTIFICATE-----');
  if (content.length === 0) return 'it is empty';
  if (holds === 'certificates') {
    if (!hasCertificate) return hasKey ? 'it holds a private key alone' : 'it is not PEM';
    return parses(() => new X509Certificate(content)) ? undefined : 'its certificate is broken';
  }
  if (!hasKey) return hasCertificate ? 'it holds a certificate alone' : 'it is not PEM';
  if (/ENCRYPTED/.test(text)) return 'it has a passphrase';
  return parses(() => createPrivateKey(content)) ? undefined : 'its key is broken';
}

function parses(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch {
    return false;
  }
}
