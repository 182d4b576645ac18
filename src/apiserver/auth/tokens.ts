// Bearer tokens: one for the administrator and one for each node, kept in a file, compared safely.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { replaceFile } from '../certificate-authority.ts';

export type User =
  | { readonly kind: 'admin'; readonly name: string }
  | { readonly kind: 'node'; readonly name: string };

interface Credential {
  readonly user: User;
  readonly token: string;
  readonly digest: Buffer;
}

const TOKEN_BYTES = 32;
const NODE_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** The known tokens. A line of the file is `kind name token`. */
export class Tokens {
  readonly #credentials: readonly Credential[];

  private constructor(credentials: readonly Credential[]) {
    this.#credentials = credentials;
  }

  /** Reads `path` and adds what is missing: the administrator and each of `nodes`. */
  static async load(path: string, nodes: readonly string[]): Promise<Tokens> {
    for (const node of nodes) {
      if (!NODE_NAME.test(node)) {
        throw new Error(
          `cannot make a token: "${node}" cannot be a node's name; use a-z, 0-9, "-" and "."`,
        );
      }
    }
    const kept = await readTokens(path);
    const wanted: User[] = [
      { kind: 'admin', name: 'admin' },
      ...nodes.map((name): User => ({ kind: 'node', name })),
    ];
    const missing = wanted.filter((user) => !kept.some((known) => sameUser(known.user, user)));
    const added = missing.map((user) => {
      return credential(user, randomBytes(TOKEN_BYTES).toString('base64url'));
    });
    const all = [...kept, ...added];
    if (added.length > 0) {
      const lines = all.map(({ user, token }) => `${user.kind} ${user.name} ${token}\n`);
      await replaceFile(path, lines.join(''));
    }
    return new Tokens(all);
  }

  /** Who has this token; every token is compared, in constant time. */
  userOf(token: string): User | undefined {
    const digest = digestOf(token);
    let found: User | undefined;
    for (const known of this.#credentials) {
      if (timingSafeEqual(known.digest, digest)) found = known.user;
    }
    return found;
  }

  /** For kubeconfig files; undefined for a user that is not known. */
  tokenOf(user: User): string | undefined {
    return this.#credentials.find((known) => sameUser(known.user, user))?.token;
  }
}

async function readTokens(path: string): Promise<Credential[]> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  const lines = content.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line, index) => {
    const [kind, name = '', token = ''] = line.trim().split(/\s+/);
    if ((kind !== 'admin' && kind !== 'node') || name === '' || token.length < 16) {
      throw new Error(
        `cannot read tokens: line ${index + 1} of "${path}" is not "admin|node NAME TOKEN"`,
      );
    }
    return credential({ kind, name }, token);
  });
}

function credential(user: User, token: string): Credential {
  return { user, token, digest: digestOf(token) };
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function sameUser(a: User, b: User): boolean {
  return a.kind === b.kind && a.name === b.name;
}
