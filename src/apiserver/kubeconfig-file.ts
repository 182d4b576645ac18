// Writes kubeconfig files for the administrator and for nodes.

export interface KubeconfigContents {
  /** `https://host:port`. */
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  readonly user: string;
  readonly token: string;
}

/** One context, `tortie`. JSON is YAML, so that every reader of kubeconfigs takes it. */
export function kubeconfigText({ server, ca, user, token }: KubeconfigContents): string {
  const data = Buffer.from(ca).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'tortie',
    clusters: [{ name: 'tortie', cluster: { server, 'certificate-authority-data': data } }],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'tortie', context: { cluster: 'tortie', user } }],
    preferences: {},
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
