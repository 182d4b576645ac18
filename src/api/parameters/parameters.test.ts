// The agent's parameters: where they come from, how lists are read, and FelixConfiguration as their texts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FelixConfigurationSpec } from '../felix-configuration.ts';
import { validateResource } from '../validate-resource.ts';
import { parametersInConfiguration } from './configuration-parameters.ts';
import { defaultValue } from './parameter.ts';
import {
  AGENT_PARAMETERS,
  type ParameterSource,
  parametersInEnvironment,
  parametersInFile,
  resolveParameters,
} from './resolve-parameters.ts';

const source = (name: string, values: Record<string, string>, local = true): ParameterSource => ({
  name,
  local,
  values,
});

function valueOf(parameter: string, text: string): unknown {
  const { values, problems } = resolveParameters([source('test', { [parameter]: text })]);
  assert.deepEqual(problems, [], text);
  return values.get(parameter);
}

test('every default can be read, and names differ in more than their case', () => {
  for (const one of AGENT_PARAMETERS) assert.notEqual(defaultValue(one), undefined, one.name);
  const names = AGENT_PARAMETERS.map(({ name }) => name.toLowerCase());
  assert.equal(new Set(names).size, names.length);
});

test('the first source that gives a text decides, in any letter case', () => {
  const { values, problems } = resolveParameters([
    source('environment', { healthport: '1', LOGPREFIX: '' }),
    source('file', { HealthPort: '2', LogPrefix: 'file' }),
    source('FelixConfiguration default', { LogPrefix: 'default', HealthHost: '::1' }, false),
  ]);
  assert.deepEqual(problems, []);
  const got = ['HealthPort', 'LogPrefix', 'HealthHost', 'DebugPort'].map((name) =>
    values.get(name),
  );
  assert.deepEqual(got, [1, 'file', '::1', 0]);
});

test('what cannot be read leaves the default, also where a later source is right', () => {
  const { values, problems } = resolveParameters([
    source('environment', { HealthPort: '70000' }),
    source('file', { HealthPort: '2' }),
  ]);
  assert.equal(values.get('HealthPort'), 9099);
  assert.deepEqual(problems, [
    {
      parameter: 'HealthPort',
      message: '"70000" is not allowed: use a whole number from 0 to 65535',
      fatal: false,
    },
  ]);
});

test('parameters of the node alone may not come from elsewhere', () => {
  const { values, problems } = resolveParameters([
    source('FelixConfiguration default', { FelixHostname: 'other' }, false),
  ]);
  assert.equal(values.get('FelixHostname'), '');
  assert.match(problems[0]?.message ?? '', /^may not be set in FelixConfiguration default/);
});

test('an unknown name is told with the one that was meant', () => {
  const { problems } = resolveParameters([source('file', { HealthPrt: '1' })]);
  assert.match(problems[0]?.message ?? '', /did you mean HealthPort\?/);
  assert.equal(problems[0]?.fatal, false);
});

test('lists, pairs and ranges', () => {
  assert.deepEqual(
    valueOf('FailsafeInboundHostPorts', '22, udp:53,tcp:10.1.2.3/8:80,tcp:[fd00::1/8]:81'),
    [
      { protocol: 'tcp', port: 22 },
      { protocol: 'udp', port: 53 },
      { protocol: 'tcp', port: 80, net: '10.0.0.0/8' },
      { protocol: 'tcp', port: 81, net: 'fd00::/8' },
    ],
  );
  assert.deepEqual(valueOf('FailsafeInboundHostPorts', 'none'), []);
  assert.deepEqual(valueOf('InterfaceExclude', 'kube-ipvs0,/^veth.*$/'), [
    '^kube-ipvs0$',
    '^veth.*$',
  ]);
  assert.deepEqual(valueOf('EtcdEndpoints', 'https://127.0.0.1:1234/, http://host:2345'), [
    'https://127.0.0.1:1234/',
    'http://host:2345/',
  ]);
  assert.deepEqual(valueOf('KubeNodePortRanges', '30000:30002,30030'), ['30000:30002', 30_030]);
  assert.deepEqual(valueOf('HealthTimeoutOverrides', 'a=90s, b=10ms'), { a: 90_000, b: 10 });
  assert.deepEqual(valueOf('RouteTableRanges', '1-2 5-5'), [
    { min: 1, max: 2 },
    { min: 5, max: 5 },
  ]);
  assert.deepEqual(valueOf('FeatureDetectOverride', 'A=true,B='), { A: 'true', B: '' });
  assert.equal(valueOf('FlowLogsPolicyEvaluationMode', 'none'), 'None');
  assert.equal(valueOf('IstioDSCPMark', 'af11'), 'AF11');
});

test('what the agent could not use is refused', () => {
  const refused: readonly (readonly [string, string])[] = [
    ['IptablesMarkMask', '0x1'],
    ['IptablesMarkMask', '0x1ffffffff'],
    ['RouteTableRange', '0-9'],
    ['FailsafeInboundHostPorts', 'tcp:1.2.3.4/33:80'],
    ['KubeNodePortRanges', '1,2,3,4,5,6,7,8'],
    ['InterfacePrefix', 'much-too-long-a-name'],
    ['NATPortRange', '9:1'],
    ['DeviceRouteSourceAddress', 'fd00::1'],
    ['HealthTimeoutOverrides', '=1s'],
    ['TyphaReadTimeout', '1m'],
    ['UsageReportingEnabled', 'perhaps'],
  ];
  for (const [parameter, text] of refused) {
    const { problems } = resolveParameters([source('test', { [parameter]: text })]);
    assert.equal(problems.length, 1, `${parameter} ${text}`);
  }
});

test('RouteTableRange and RouteTableRanges exclude each other', () => {
  const { problems } = resolveParameters([
    source('test', { RouteTableRange: '1-9', RouteTableRanges: '300-400' }),
  ]);
  assert.deepEqual(
    problems.map(({ fatal }) => fatal),
    [true],
  );
});

test('the environment and the file', () => {
  const environment = {
    FELIX_HEALTHPORT: '1',
    felix_LogPrefix: 'x',
    PATH: '/bin',
    HOME: undefined,
  };
  assert.deepEqual(parametersInEnvironment(environment), { HEALTHPORT: '1', LogPrefix: 'x' });
  const file =
    '# a comment\n[global]\nHealthPort = 1\n ; other\nLogPrefix=a = b\nEtcdAddr: host:1\n';
  assert.deepEqual(parametersInFile(file), {
    HealthPort: '1',
    LogPrefix: 'a = b',
    EtcdAddr: 'host:1',
  });
});

test('every field of FelixConfiguration is a parameter, and the other way round', () => {
  const fields = Object.keys(FelixConfigurationSpec.properties).filter(
    (field) => field !== 'nodeSelector',
  );
  const own = AGENT_PARAMETERS.map(({ field }) => field).filter((field) => field !== '');
  assert.deepEqual(own.sort(), fields.sort());
});

test('a FelixConfiguration sets what the same texts would', () => {
  const spec = {
    healthEnabled: true,
    netlinkTimeout: '1m30s',
    iptablesLockProbeInterval: '20ms',
    failsafeInboundHostPorts: [
      { protocol: 'TCP' as const, port: 22 },
      { port: 53, net: 'fd00::/8' },
    ],
    failsafeOutboundHostPorts: [],
    routeTableRange: { min: 1, max: 9 },
    healthTimeoutOverrides: [{ name: 'a', timeout: '90s' }],
    bpfConntrackTimeouts: { tcpSynSent: '20s', genericTimeout: 'Auto' },
    bpfLogFilters: { tcp0: 'tcp' },
    kubeNodePortRanges: ['30000:30001', 5],
    istioDSCPMark: 'AF11' as const,
    iptablesMarkMask: 0xff00,
  };
  const resource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name: 'default' },
    spec,
  };
  const faults = validateResource(resource).problems.filter(({ severity }) => severity === 'error');
  assert.deepEqual(faults, []);
  const texts = parametersInConfiguration(spec);
  const { values, problems } = resolveParameters([source('configuration', texts, false)]);
  assert.deepEqual(problems, []);
  const expected: Readonly<Record<string, unknown>> = {
    HealthEnabled: true,
    NetlinkTimeoutSecs: 90_000,
    IptablesLockProbeIntervalMillis: 20,
    FailsafeInboundHostPorts: [
      { protocol: 'tcp', port: 22 },
      { protocol: 'tcp', port: 53, net: 'fd00::/8' },
    ],
    FailsafeOutboundHostPorts: [],
    RouteTableRange: { min: 1, max: 9 },
    HealthTimeoutOverrides: { a: 90_000 },
    BPFConntrackTimeouts: { TCPSynSent: '20s', GenericTimeout: 'Auto' },
    BPFLogFilters: { tcp0: 'tcp' },
    KubeNodePortRanges: ['30000:30001', 5],
    IstioDSCPMark: 'AF11',
    IptablesMarkMask: 0xff00,
  };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(values.get(name), value);
  assert.equal(Object.keys(texts).length, Object.keys(expected).length);
});

test('no text brings the reading down', () => {
  const names = AGENT_PARAMETERS.map(({ name }) => name);
  const values = fc.dictionary(fc.constantFrom(...names), fc.string({ maxLength: 40 }));
  fc.assert(
    fc.property(values, (given) => {
      const resolved = resolveParameters([source('random', given)]);
      assert.equal(resolved.values.size, AGENT_PARAMETERS.length);
    }),
  );
});
