// Writes kubeconfig files for the administrator, for nodes and for users.

export interface KubeconfigContents {
  /** `https://host:port`. */
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  readonly user: string;
  readonly credential:
    | { readonly token: string }
    /** PEM. */
    | { readonly certificate: string; readonly key: string };
}

/** One context, `tortie`. JSON is YAML, so that every reader of kubeconfigs takes it. */
export function kubeconfigText({ server, ca, user, credential }: KubeconfigContents): string {
  const data = base64(ca);
  const login =
    'token' in credential
      ? credential
      : {
          'client-certificate-data': base64(credential.certificate),
          'client-key-data': base64(credential.key),
        };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'tortie',
    clusters: [{ name: 'tortie', cluster: { server, 'certificate-authority-data': data } }],
    users: [{ name: user, user: login }],
    contexts: [{ name: 'tortie', context: { cluster: 'tortie', user } }],
    preferences: {},
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
