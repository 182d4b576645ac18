// A service account as the profile that its pods inherit: the account's labels, no rules.
import type { Profile } from '../host-endpoint.ts';
import type { ServiceAccount } from '../kubernetes.ts';
import { prefixKeys } from './namespace-profile.ts';

/** The profile of the pods that run as a service account. */
export function serviceAccountProfileName(namespace: string, name: string): string {
  return `ksa.${namespace}.${name}`;
}

/** Labels get the prefix `pcsa.`; the account's own name is `pcsa.projectcalico.org/name`. */
export function serviceAccountToProfile(account: ServiceAccount): Profile {
  const { name, namespace = 'default', labels } = account.metadata;
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Profile',
    metadata: { name: serviceAccountProfileName(namespace, name) },
    spec: {
      labelsToApply: { ...prefixKeys(labels, 'pcsa.'), 'pcsa.projectcalico.org/name': name },
    },
  };
}
