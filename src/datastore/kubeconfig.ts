// Reads a kubeconfig file: which server, how to trust it, and who we are.
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { isObject } from '#lib';
import { readingProblem } from './given-file.ts';

export interface ClientConfig {
  /** `https://host:port`, perhaps with a path. */
  readonly server: string;
  /** PEM; the system's own authorities when absent. */
  readonly ca?: string;
  readonly token?: string;
  /** Read again for each request, so that a rotated token is picked up. */
  readonly tokenFile?: string;
  /** Client certificate and key, PEM. */
  readonly certificate?: string;
  readonly key?: string;
  /** Name to expect in the server's certificate in place of the host. */
  readonly serverName?: string;
  readonly insecureSkipTlsVerify?: boolean;
  /** The context's default namespace. */
  readonly namespace?: string;
}

type Entry = Record<string, unknown>;

/**
 * The client configuration of a kubeconfig's current context (or of `contextName`). Throws an Error
 * that quotes the path and the field, never a value that could be a secret.
 */
export function loadKubeconfig(path: string, contextName?: string): ClientConfig {
  const document = readDocument(path);
  const name = contextName ?? text(document, 'current-context');
  if (!name) throw problem(path, 'has no current-context; choose one of its contexts');
  const context = named(document, { list: 'contexts', entry: 'context', name, path });
  const clusterName = text(context, 'cluster');
  const userName = text(context, 'user');
  if (!clusterName) throw problem(path, `context "${name}" names no cluster`);
  const cluster = named(document, { list: 'clusters', entry: 'cluster', name: clusterName, path });
  const user = userName
    ? named(document, { list: 'users', entry: 'user', name: userName, path })
    : {};
  return {
    ...clusterConfig(path, clusterName, cluster),
    ...userConfig(path, userName ?? '', user),
    ...optional('namespace', text(context, 'namespace')),
  };
}

function clusterConfig(path: string, name: string, cluster: Entry): ClientConfig {
  const server = text(cluster, 'server');
  if (!server || !URL.canParse(server) || !/^https?:/.test(server)) {
    throw problem(path, `cluster "${name}" needs a server such as https://127.0.0.1:6443`);
  }
  return {
    server: server.replace(/\/+$/, ''),
    ...optional('ca', pem(path, cluster, 'certificate-authority')),
    ...optional('serverName', text(cluster, 'tls-server-name')),
    ...(cluster['insecure-skip-tls-verify'] === true ? { insecureSkipTlsVerify: true } : {}),
  };
}

function userConfig(path: string, name: string, user: Entry): Partial<ClientConfig> {
  for (const unsupported of ['exec', 'auth-provider', 'username']) {
    if (user[unsupported] !== undefined) {
      const advice = 'use a token or a client certificate';
      throw problem(
        path,
        `user "${name}" uses "${unsupported}", which is not supported; ${advice}`,
      );
    }
  }
  const tokenFile = text(user, 'tokenFile');
  const certificate = pem(path, user, 'client-certificate');
  const key = pem(path, user, 'client-key');
  if ((certificate === undefined) !== (key === undefined)) {
    throw problem(path, `user "${name}" has only one of client-certificate and client-key`);
  }
  return {
    ...optional('token', text(user, 'token')),
    ...(tokenFile ? { tokenFile: resolve(dirname(path), tokenFile) } : {}),
    ...optional('certificate', certificate),
    ...optional('key', key),
  };
}

function readDocument(path: string): Entry {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (cause) {
    const advice = 'name another with --kubeconfig FILE or the variable KUBECONFIG';
    const reason = readingProblem(cause);
    throw new Error(`cannot read the kubeconfig "${path}": ${reason}; ${advice}`, { cause });
  }
  let document: unknown;
  try {
    document = parse(content);
  } catch {
    // The parser's message would quote the text around the fault, which may be a token.
    throw problem(path, 'is not valid YAML');
  }
  if (!isObject(document)) throw problem(path, 'is not a YAML object');
  return document;
}

interface Reference {
  readonly list: string;
  readonly entry: string;
  readonly name: string;
  readonly path: string;
}

function named(document: Entry, { list, entry, name, path }: Reference): Entry {
  const entries: unknown = document[list];
  const found = Array.isArray(entries)
    ? entries.find((item) => isObject(item) && item['name'] === name)
    : undefined;
  const value: unknown = isObject(found) ? found[entry] : undefined;
  if (!isObject(value)) throw problem(path, `has no ${entry} "${name}" in its ${list}`);
  return value;
}

/** `field` names a file (relative to the kubeconfig), `field-data` holds base64. */
function pem(path: string, entry: Entry, field: string): string | undefined {
  const data = text(entry, `${field}-data`);
  if (data) return Buffer.from(data, 'base64').toString('utf8');
  const file = text(entry, field);
  if (!file) return undefined;
  const filePath = resolve(dirname(path), file);
  try {
    return readFileSync(filePath, 'utf8');
  } catch (cause) {
    throw problem(
      path,
      `names ${field} "${filePath}", which cannot be read: ${readingProblem(cause)}`,
    );
  }
}

function text(entry: Entry, field: string): string | undefined {
  const value = entry[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function optional<K extends keyof ClientConfig>(
  key: K,
  value: ClientConfig[K] | undefined,
): Partial<ClientConfig> {
  return value === undefined ? {} : { [key]: value };
}

function problem(path: string, what: string): Error {
  return new Error(`kubeconfig "${path}" ${what}`);
}
