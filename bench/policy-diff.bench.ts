// Time and memory of comparing worlds of 10,000 policies over 10,000 pods: node bench/policy-diff.bench.ts
import { spawnSync } from 'node:child_process';
import type { Resource } from '#api';
import { diffResources } from '#policy';

const NAMESPACES = 1000;
const APPS = ['web', 'api', 'cart', 'db', 'jobs'];
const REPLICAS = 2;
const NODES = 100;
const calico = 'projectcalico.org/v3';

function resource(apiVersion: string, kind: string, name: string, rest: object = {}): Resource {
  return { apiVersion, kind, metadata: { name }, ...rest };
}

function inNamespace(apiVersion: string, kind: string, path: string, rest: object): Resource {
  const [namespace = '', name = ''] = path.split('/');
  return { apiVersion, kind, metadata: { name, namespace }, ...rest };
}

function namespaceName(index: number): string {
  return `team-${index}`;
}

function pods(index: number): Resource[] {
  return APPS.flatMap((app, position) =>
    Array.from({ length: REPLICAS }, (_, replica) => {
      const number = (index * APPS.length + position) * REPLICAS + replica;
      const namespace = namespaceName(index);
      const labels = {
        app,
        tier: app === 'db' ? 'data' : 'front',
        'pod-template-hash': `h${number}`,
      };
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: `${app}-${replica}`, namespace, labels },
        spec: {
          nodeName: `node-${number % NODES}`,
          containers: [{ name: app, ports: [{ name: 'http', containerPort: 8080 }] }],
        },
        status: {
          podIPs: [{ ip: `10.${64 + (number >> 14)}.${(number >> 6) & 255}.${number & 63}` }],
        },
      } as Resource;
    }),
  );
}

const selects = (app: string) => ({ podSelector: { matchLabels: { app } } });
const port = (number: number | string) => ({ protocol: 'TCP', port: number });

/** Ten a namespace, as teams write them: a default denial, who may reach what, DNS, an outside range. */
function policies(index: number): Resource[] {
  const namespace = namespaceName(index);
  const kubernetes = (name: string, spec: object) =>
    inNamespace('networking.k8s.io/v1', 'NetworkPolicy', `${namespace}/${name}`, { spec });
  const own = (name: string, spec: object) =>
    inNamespace(calico, 'NetworkPolicy', `${namespace}/${name}`, { spec });
  const friend = { kubernetesName: namespaceName((index * 7 + 1) % NAMESPACES) };
  const fromFriend = {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': friend.kubernetesName } },
    ...selects('web'),
  };
  const dns = { selector: 'k8s-app == "dns"', namespaceSelector: 'all()', ports: [53] };
  const network = `192.168.${index % 256}.0/24`;
  return [
    kubernetes('default-deny', { podSelector: {}, policyTypes: ['Ingress'] }),
    kubernetes('web', { ...selects('web'), ingress: [{ ports: [port('http'), port(443)] }] }),
    kubernetes('api', {
      ...selects('api'),
      ingress: [{ from: [selects('web')], ports: [port(8080)] }],
    }),
    kubernetes('cart', {
      ...selects('cart'),
      ingress: [{ from: [selects('web'), selects('api')] }],
    }),
    kubernetes('db', {
      ...selects('db'),
      ingress: [{ from: [selects('api')], ports: [port(5432)] }],
    }),
    kubernetes('friend', {
      ...selects('api'),
      ingress: [{ from: [fromFriend], ports: [port(8443)] }],
    }),
    kubernetes('office', {
      ...selects('jobs'),
      ingress: [{ from: [{ ipBlock: { cidr: network } }] }],
    }),
    own('dns', {
      selector: 'all()',
      order: 10,
      types: ['Egress'],
      egress: [{ action: 'Allow', protocol: 'UDP', destination: dns }],
    }),
    own('db-out', {
      selector: 'app == "db"',
      types: ['Egress'],
      egress: [{ action: 'Allow', destination: { selector: 'app == "api"' } }],
    }),
    own('front-out', {
      selector: 'tier == "front"',
      types: ['Egress'],
      egress: [{ action: 'Allow', protocol: 'TCP' }],
    }),
  ];
}

const SECURITY_RULES = [
  { action: 'Deny', source: { selector: 'kind == "blocked"' } },
  { action: 'Pass' },
];

function globals(): Resource[] {
  const tier = { order: 100, defaultAction: 'Deny' };
  const guard = {
    tier: 'security',
    selector: 'all()',
    types: ['Ingress'],
    ingress: SECURITY_RULES,
  };
  const blocked = Array.from({ length: 200 }, (_, index) => `198.18.${index}.0/24`);
  return [
    resource(calico, 'Tier', 'security', { spec: tier }),
    resource(calico, 'GlobalNetworkPolicy', 'guard', { spec: guard }),
    {
      apiVersion: calico,
      kind: 'GlobalNetworkSet',
      metadata: { name: 'blocked', labels: { kind: 'blocked' } },
      spec: { nets: blocked },
    } as Resource,
    ...Array.from({ length: NODES }, (_, index) =>
      resource('v1', 'Node', `node-${index}`, {
        status: { addresses: [{ type: 'InternalIP', address: `172.30.0.${index}` }] },
      }),
    ),
  ];
}

function cluster(): Resource[] {
  const perNamespace = Array.from({ length: NAMESPACES }, (_, index) => [
    resource('v1', 'Namespace', namespaceName(index)),
    ...pods(index),
    ...policies(index),
  ]);
  return [...globals(), ...perNamespace.flat()];
}

function edit(
  resources: readonly Resource[],
  of: string,
  change: (spec: Spec) => object,
): Resource[] {
  return resources.map((it) => {
    const { kind, metadata } = it;
    const name = `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
    return name === of && 'spec' in it
      ? ({ ...it, spec: change(it.spec as Spec) } as Resource)
      : it;
  });
}

type Spec = Readonly<Record<string, unknown>>;

const GUARD = 'GlobalNetworkPolicy /guard';
const SSH = { action: 'Deny', protocol: 'TCP', destination: { ports: [22] } };

const CASES: Readonly<Record<string, (resources: readonly Resource[]) => Resource[]>> = {
  'nothing changed': (resources) => [...resources],
  'five policies of five namespaces': (resources) =>
    [1, 200, 400, 600, 800].reduce<Resource[]>(
      (list, index) =>
        edit(list, `NetworkPolicy ${namespaceName(index)}/db`, (spec) => ({
          ...spec,
          ingress: [{ from: [selects('api'), selects('jobs')], ports: [port(5432)] }],
        })),
      [...resources],
    ),
  'a rule of a global tier: deny tcp 22': (resources) =>
    edit(resources, GUARD, (spec) => ({ ...spec, ingress: [SSH, ...SECURITY_RULES] })),
  'a global tier that denies all but one port': (resources) =>
    edit(resources, GUARD, (spec) => ({
      ...spec,
      ingress: [{ action: 'Pass', protocol: 'TCP', destination: { ports: [443] } }],
    })),
  'a global policy of egress, for all pods': (resources) => [
    ...resources,
    resource(calico, 'GlobalNetworkPolicy', 'no-smtp', {
      spec: {
        tier: 'security',
        selector: 'all()',
        types: ['Egress'],
        egress: [
          { action: 'Deny', protocol: 'TCP', destination: { ports: [25] } },
          { action: 'Pass' },
        ],
      },
    }),
  ],
};

/** Runs one case and prints its line. */
function measure(name: string): void {
  const before = cluster();
  const after = CASES[name]?.(before) ?? [];
  const policyCount = before.filter((it) => it.kind.endsWith('NetworkPolicy')).length;
  const podCount = before.filter((it) => it.kind === 'Pod').length;
  const start = process.hrtime.bigint();
  const { opened, closed } = diffResources(before, structuredClone(after));
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const peak = process.resourceUsage().maxRSS / 1024;
  const size = `${policyCount} policies, ${podCount} pods`;
  const groups = `${opened.length + closed.length} groups`;
  process.stdout.write(
    `${size}; ${name}: ${seconds.toFixed(2)} s, ${peak.toFixed(0)} MiB peak, ${groups}\n`,
  );
}

const [wanted] = process.argv.slice(2);
if (wanted !== undefined) measure(wanted);
else {
  for (const name of Object.keys(CASES)) {
    const { stdout, stderr } = spawnSync(process.execPath, [import.meta.filename, name], {
      encoding: 'utf8',
    });
    process.stdout.write(stdout + stderr);
  }
}
