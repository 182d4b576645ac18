// The flags of `tortie server` that say who is let in, with kube-apiserver's names.
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { type AccessControlOptions, readCertificate, type ServerCertificate } from '#apiserver';

export interface AccessFlags {
  readonly tlsCertFile?: string;
  readonly tlsPrivateKeyFile?: string;
  readonly clientCaFile?: string;
  readonly user?: readonly UserFlag[];
  readonly serviceAccountIssuer?: string;
  readonly apiAudiences?: readonly string[];
  readonly oidcIssuerUrl?: string;
  readonly oidcClientId?: string;
  readonly oidcUsernameClaim?: string;
  readonly oidcUsernamePrefix?: string;
  readonly oidcGroupsClaim?: string;
  readonly oidcGroupsPrefix?: string;
  readonly oidcRequiredClaim?: Readonly<Record<string, string>>;
  readonly oidcSigningAlgs?: readonly string[];
  readonly oidcCaFile?: string;
}

/** Somebody who gets a client certificate. */
export interface UserFlag {
  readonly name: string;
  readonly groups: readonly string[];
}

const PKI = 'PEM file of ';

export function addAccessFlags(command: Command): Command {
  return command
    .option('--tls-cert-file <file>', `${PKI}our certificate and its chain (made by us)`)
    .option('--tls-private-key-file <file>', `${PKI}its key`)
    .option('--client-ca-file <file>', `${PKI}whose client certificates are taken (our own)`)
    .option('--user <name[=group,group]>', 'make DIR/users/NAME.kubeconfig; repeatable', addUser)
    .option('--service-account-issuer <url>', 'issuer of service-account tokens')
    .option('--api-audiences <list>', 'audiences that tokens must be for (the issuer)', list)
    .option('--oidc-issuer-url <url>', 'OpenID provider whose ID tokens are taken')
    .option('--oidc-client-id <id>', 'audience of its ID tokens')
    .option('--oidc-username-claim <name>', 'claim that is the user (sub)')
    .option('--oidc-username-prefix <text>', 'before the user; "-" for none')
    .option('--oidc-groups-claim <name>', 'claim that is the groups')
    .option('--oidc-groups-prefix <text>', 'before each group')
    .option('--oidc-required-claim <name=value>', 'that tokens must have; repeatable', addClaim)
    .option('--oidc-signing-algs <list>', 'algorithms that are taken (RS256)', list)
    .option('--oidc-ca-file <file>', `${PKI}the provider's authority (the system's)`);
}

type AccessOptions = Pick<AccessControlOptions, 'clientCa' | 'issuer' | 'audiences' | 'oidc'>;

/** `ownCa`: PEM of the server's own authority. */
export async function accessOptions(flags: AccessFlags, ownCa: string): Promise<AccessOptions> {
  const { oidcIssuerUrl: issuer, oidcClientId: clientId = '', oidcCaFile } = flags;
  return {
    clientCa: await clientCa(flags, ownCa),
    issuer: flags.serviceAccountIssuer,
    audiences: flags.apiAudiences,
    oidc:
      issuer === undefined
        ? undefined
        : {
            issuer,
            clientId,
            usernameClaim: flags.oidcUsernameClaim,
            usernamePrefix: flags.oidcUsernamePrefix,
            groupsClaim: flags.oidcGroupsClaim,
            groupsPrefix: flags.oidcGroupsPrefix,
            requiredClaims: flags.oidcRequiredClaim ?? {},
            signingAlgorithms: flags.oidcSigningAlgs,
            ca: oidcCaFile === undefined ? undefined : await readFile(oidcCaFile, 'utf8'),
          },
  };
}

/** PEM of whose client certificates are taken, as the files say now. */
export async function clientCa({ clientCaFile }: AccessFlags, ownCa: string): Promise<string> {
  return clientCaFile === undefined ? ownCa : await readFile(clientCaFile, 'utf8');
}

/** The certificate of the flags; undefined: we make our own. Throws where the files are no pair. */
export async function givenCertificate(flags: AccessFlags): Promise<ServerCertificate | undefined> {
  const { tlsCertFile: certificate, tlsPrivateKeyFile: key } = flags;
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    throw new Error(
      'cannot serve TLS: --tls-cert-file and --tls-private-key-file go together; give both',
    );
  }
  const pair = await readCertificate(certificate, key);
  return { ca: pair.certificate, ...pair };
}

function list(value: string): readonly string[] {
  const items = value.split(',').map((item) => item.trim());
  if (items.includes('')) throw new InvalidArgumentError('Write NAME,NAME.');
  return items;
}

function addUser(value: string, previous: readonly UserFlag[] = []): readonly UserFlag[] {
  const [name = '', groups = ''] = value.split('=', 2);
  // The name is a file's too.
  if (!/^[A-Za-z0-9][-A-Za-z0-9._@]{0,63}$/.test(name)) {
    throw new InvalidArgumentError('Write NAME or NAME=GROUP,GROUP, with A-Z, a-z, 0-9, ._-@.');
  }
  return [...previous, { name, groups: groups === '' ? [] : list(groups) }];
}

function addClaim(
  value: string,
  previous: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const at = value.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Write NAME=VALUE.');
  return { ...previous, [value.slice(0, at)]: value.slice(at + 1) };
}
