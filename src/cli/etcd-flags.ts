// The flags by which commands reach etcd, with the names that Calico's tools have for them.
import type { Command } from 'commander';

/** Each has a variable of the environment, which it goes before. */
const FLAGS: readonly (readonly [flag: string, description: string])[] = [
  ['--etcd-endpoints <urls>', 'http(s)://HOST:PORT, by commas; ETCD_ENDPOINTS'],
  ['--etcd-ca-cert-file <file>', "authority of etcd's certificate; ETCD_CA_CERT_FILE"],
  ['--etcd-cert-file <file>', 'certificate to show to etcd; ETCD_CERT_FILE'],
  ['--etcd-key-file <file>', 'its key; ETCD_KEY_FILE'],
  ['--etcd-username <name>', 'user of etcd; ETCD_USERNAME, and ETCD_PASSWORD'],
];

export function addEtcdFlags(command: Command): Command {
  for (const [flag, description] of FLAGS) command.option(flag, description);
  return command;
}

/** Whether one of the flags is given. */
export function hasEtcdFlag(flags: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(flags).some((flag) => flag.startsWith('etcd'));
}
