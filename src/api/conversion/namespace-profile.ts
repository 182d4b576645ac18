// A namespace as the profile that its pods inherit: traffic allowed, and the namespace's labels.
import type { Profile } from '../host-endpoint.ts';
import type { Namespace } from '../kubernetes.ts';
import type { Rule } from '../rule.ts';

const ALLOW: Rule = { action: 'Allow', source: {}, destination: {} };

/** The profile of a namespace's pods. */
export function namespaceProfileName(namespace: string): string {
  return `kns.${namespace}`;
}

/** Labels get the prefix `pcns.`; the namespace's own name is `pcns.projectcalico.org/name`. */
export function namespaceToProfile(namespace: Namespace): Profile {
  const { name, labels } = namespace.metadata;
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Profile',
    metadata: { name: namespaceProfileName(name) },
    spec: {
      ingress: [ALLOW],
      egress: [ALLOW],
      labelsToApply: { ...prefixKeys(labels, 'pcns.'), 'pcns.projectcalico.org/name': name },
    },
  };
}

/** The labels with `prefix` before each key. */
export function prefixKeys(
  labels: Readonly<Record<string, string>> | undefined,
  prefix: string,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels ?? {}).map(([key, value]) => [prefix + key, value]),
  );
}
