// Resources that must be accepted or refused, from the tests of Calico's own validators.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateResource } from '#api';
import { corpusMissing, readCorpus } from './corpora.ts';

const skip = corpusMissing('validation');

interface Row {
  id?: string;
  name: string;
  type?: string;
  valid: boolean;
  resource?: object;
  wrapped?: object;
  fragment?: unknown;
}

type Wrap = (fragment: unknown) => { kind: string; spec: unknown; status?: unknown };

const rule = (fragment: object): ReturnType<Wrap> => ({
  kind: 'NetworkPolicy',
  spec: { ingress: [{ action: 'Allow', ...fragment }] },
});
const controllers = (fragment: object): ReturnType<Wrap> => ({
  kind: 'KubeControllersConfiguration',
  spec: { controllers: fragment },
});
const endpoint = (fragment: object): ReturnType<Wrap> => ({
  kind: 'WorkloadEndpoint',
  spec: { interfaceName: 'cali0', ...fragment },
});
const filter = (list: string, fragment: unknown): ReturnType<Wrap> => ({
  kind: 'BGPFilter',
  spec: { [list]: [fragment] },
});

/** Puts a fragment of one of Calico's types where a resource holds such a one. */
const WRAPS: Readonly<Record<string, Wrap>> = {
  Rule: (fragment) => rule(fragment as object),
  EntityRule: (source) => rule({ source }),
  HTTPMatch: (http) => rule({ http }),
  ICMPFields: (icmp) => rule({ protocol: 'ICMP', icmp }),
  'numorstring.Protocol': (protocol) => rule({ protocol }),
  ProtoPort: (port) => ({
    kind: 'FelixConfiguration',
    spec: { failsafeInboundHostPorts: [port] },
  }),
  BGPFilterRuleV4: (fragment) => filter('importV4', fragment),
  BGPFilterRuleV6: (fragment) => filter('importV6', fragment),
  BGPFilterOperation: (fragment) =>
    filter('importV4', { action: 'Accept', operations: [fragment] }),
  NodeControllerConfig: (node) => controllers({ node }),
  PolicyControllerConfig: (policy) => controllers({ policy }),
  WorkloadEndpointControllerConfig: (workloadEndpoint) => controllers({ workloadEndpoint }),
  ServiceAccountControllerConfig: (serviceAccount) => controllers({ serviceAccount }),
  NamespaceControllerConfig: (namespace) => controllers({ namespace }),
  Template: (template) => controllers({ node: { hostEndpoint: { templates: [template] } } }),
  'internalapi.IPNAT': (nat) => {
    const { internalIP } = nat as { internalIP: string };
    const ipNetworks = [`${internalIP}/${internalIP.includes(':') ? 128 : 32}`];
    return endpoint({ ipNATs: [nat], ipNetworks });
  },
  'internalapi.WorkloadEndpointPort': (port) => endpoint({ ports: [port] }),
  'internalapi.WorkloadEndpointSpec': (spec) => ({ kind: 'WorkloadEndpoint', spec }),
  'internalapi.NodeSpec': (spec) => ({ kind: 'Node', spec }),
  'internalapi.NodeStatus': (status) => ({ kind: 'Node', spec: {}, status }),
};

/** Cases where Tortie means to differ, each with its reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  v280: 'a port that is name and number at once exists in Go only; as JSON it is the valid name "foo"',
};

function resourceOf(row: Row): Record<string, unknown> {
  const wrapped = row.type === undefined ? undefined : WRAPS[row.type]?.(row.fragment);
  const resource = row.resource ?? row.wrapped ?? wrapped;
  assert.ok(resource, `${row.id}: no way to wrap a ${row.type}`);
  const { metadata, ...rest } = resource as { metadata?: object };
  // Names are often missing on purpose: the case is about something else.
  return {
    apiVersion: 'projectcalico.org/v3',
    ...rest,
    metadata: { name: defaultName(rest), ...metadata },
  };
}

function defaultName(resource: object): string {
  return (resource as { kind?: string }).kind === 'NetworkSet' ? 'set' : 'default';
}

function each(file: string, reached: number, total: number): void {
  test(`${file}: ${reached} of ${total}`, { skip }, () => {
    const rows = readCorpus<Row>(`validation/${file}`);
    let passed = 0;
    const wrong: string[] = [];
    for (const row of rows) {
      const { problems } = validateResource(resourceOf(row));
      const errors = problems.filter(({ severity }) => severity === 'error');
      const right = (errors.length === 0) === row.valid;
      const expected = !Object.hasOwn(EXCEPTIONS, row.id ?? '');
      if (right) passed++;
      if (right === expected) continue;
      const said = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
      wrong.push(`${row.id} ${row.name}: ${said || 'accepted'}`);
    }
    console.log(`validation/${file}: ${passed} of ${rows.length}`);
    assert.deepEqual(wrong, []);
    assert.deepEqual([passed, rows.length], [reached, total]);
  });
}

each('validator.json', 697, 698);
each('crd-rules.json', 104, 104);
each('tier-create.json', 6, 6);
