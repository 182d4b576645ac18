// Calico's own tests of its agent's parameters and of the types that are numbers or text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AGENT_PARAMETERS,
  ENTERPRISE_PARAMETERS,
  defaultValue,
  dscpNumber,
  isDscp,
  openStackActive,
  type ParameterValue,
  portName,
  protocolHasPorts,
  readAsNumber,
  readDscp,
  readPort,
  readProtocol,
  resolveParameters,
} from '#api';
import { isObject, jsonEqual } from '#lib';
import { corpusMissing, readCorpus, readCorpusFile } from './corpora.ts';

const skip = corpusMissing('felix-config');

interface ParseRow {
  readonly line: number;
  readonly name: string;
  readonly param: string;
  readonly value: string;
  readonly error?: boolean;
  readonly expected?: string | number | boolean;
  readonly expectedSeconds?: number;
  readonly expectedStructured?: boolean;
}

/** Rows whose text Calico's agent cannot read, and goes on with the default: by their line. */
const DEFAULTED: readonly number[] = [304, 307, 310, 321, 512, 529, 538, 545, 546];

function checkParse(row: ParseRow): void {
  const values = { [row.param]: row.value };
  const { values: all, problems } = resolveParameters([{ name: 'test', local: true, values }]);
  const got = all.get(row.param);
  assert.notEqual(got, undefined, `no parameter ${row.param}`);
  assert.equal(
    problems.some(({ fatal }) => fatal),
    row.error ?? false,
  );
  assert.equal(problems.length > 0, row.error === true || DEFAULTED.includes(row.line));
  if (problems.length > 0) {
    const one = AGENT_PARAMETERS.find(({ name }) => name === row.param);
    assert.deepEqual(got, one && defaultValue(one));
  }
  if (row.expectedSeconds !== undefined) assert.equal(Number(got) / 1000, row.expectedSeconds);
  else if (row.expected !== undefined) assert.equal(got, row.expected);
}

interface ValidateRow {
  readonly name: string;
  readonly params: Readonly<Record<string, string>>;
  readonly valid: boolean;
}

function checkValidate({ params, valid }: ValidateRow): void {
  const { problems } = resolveParameters([{ name: 'test', local: true, values: params }]);
  assert.equal(!problems.some(({ fatal }) => fatal), valid);
}

type Other = Readonly<Record<string, readonly { readonly args: readonly unknown[] }[]>>;

function checkOther(table: string, args: readonly unknown[]): void {
  if (table === 'SafeParamsEqual') {
    const [, a, b, equal] = args;
    assert.equal(jsonEqual(a, b), equal);
    return;
  }
  const names = ['ClusterType', 'MetadataAddr', 'MetadataPort', 'InterfacePrefix'];
  const values = names.flatMap((name, index) => {
    const value = args[index + 1];
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  assert.equal(openStackActive(Object.fromEntries(values)), args[5]);
}

interface NumberRow {
  readonly table: string;
  readonly name: string;
  readonly args: readonly unknown[];
}

const READERS: Readonly<Record<string, (value: unknown) => unknown>> = {
  'numorstring.ASNumber': readAsNumber,
  'numorstring.Port': readPort,
  'numorstring.Protocol': readProtocol,
  'numorstring.DSCP': readDscp,
};

function fromJson(text: string, type: string): unknown {
  try {
    return READERS[type]?.(JSON.parse(text)) ?? null;
  } catch (error) {
    assert.ok(error instanceof SyntaxError);
    return null;
  }
}

/** What each table asks, with upstream's arguments. */
const TABLES: Readonly<Record<string, (args: readonly unknown[]) => void>> = {
  NumOrStringJSONUnmarshaling: ([text, type, expected]) => {
    assert.equal(fromJson(String(text), String(type)), expected);
  },
  NumOrStringJSONMarshaling: ([value, expected]) => {
    assert.equal(JSON.stringify(value), expected);
  },
  NumOrStringStringify: ([value, expected]) => assert.equal(String(value), expected),
  NumOrStringProtocolsSupportingPorts: ([value, expected]) => {
    assert.equal(protocolHasPorts(value as string), expected);
  },
  'NumOrStringProtocols FromString is not case-sensitive': ([value, expected]) => {
    assert.equal(readProtocol(value), expected);
  },
  'NumOrStringProtocols FromStringV1 is lowercase': ([value, expected]) => {
    const read = readProtocol(value);
    assert.equal(typeof read === 'string' ? read.toLowerCase() : read, expected);
  },
  'NumOrString named ports': ([value, expected, valid]) => {
    assert.equal(portName(String(value)), valid === true ? expected : undefined);
  },
  'NumOrStringDSCP FromString is not case-sensitive': ([value, expected]) => {
    assert.equal(readDscp(value), expected);
  },
  'NumOrStringDSCP ToUint8 returns valid values': ([value, expected]) => {
    assert.equal(dscpNumber(readDscp(value) ?? -1), expected);
  },
  'NumOrStringDSCP Validate method validates string inputs correctly': ([value, valid]) => {
    assert.equal(isDscp(readDscp(value) ?? -1), valid);
  },
  'NumOrStringDSCP Validate method validates numerical inputs correctly': ([value, valid]) => {
    assert.equal(isDscp(readDscp(value) ?? -1), valid);
  },
};

test('felix-config', { skip }, () => {
  const other = readCorpusFile<Other>('felix-config/other.json');
  const checks: (readonly [name: string, check: () => void])[] = [
    ...readCorpus<ParseRow>('felix-config/parse.json').map(
      (row) => [`parse ${row.line} ${row.name}`, () => checkParse(row)] as const,
    ),
    ...readCorpus<ValidateRow>('felix-config/validate.json').map(
      (row) => [`validate ${row.name}`, () => checkValidate(row)] as const,
    ),
    ...Object.entries(other).flatMap(([table, rows]) =>
      rows.map(
        ({ args }) => [`${table} ${String(args[0])}`, () => checkOther(table, args)] as const,
      ),
    ),
    ...readCorpus<NumberRow>('felix-config/num-or-string.json').map(
      ({ table, name, args }) => [`${table} ${name}`, () => runTable(table, args)] as const,
    ),
  ];
  const wrong = checks.flatMap(([name, check]) => {
    try {
      check();
      return [];
    } catch (error) {
      assert.ok(error instanceof Error);
      return [`${name}: ${error.message.split('\n').slice(0, 4).join(' ')}`];
    }
  });
  console.log(`felix-config: ${checks.length - wrong.length} of ${checks.length}`);
  assert.deepEqual(wrong, []);
  assert.equal(checks.length, 254);
});

function runTable(table: string, args: readonly unknown[]): void {
  const check = TABLES[table];
  assert.ok(check, `no table ${table}`);
  check(args);
}

interface KnownParameter {
  readonly NameConfigFile: string;
  readonly NameYAML: string;
  readonly ParsedType: string;
  readonly ParsedDefaultJSON: string;
  readonly Required: boolean;
  readonly OnParseFailure: string;
  readonly AllowedConfigSources: string;
}

test('every parameter of Calico has its names, default and traits', {
  skip: corpusMissing('calico-crds'),
}, () => {
  const { Groups: groups } = readCorpusFile<{
    readonly Groups: readonly { readonly Fields: readonly KnownParameter[] }[];
  }>('calico-crds/felix-config-params.json');
  const known = groups.flatMap((group) => group.Fields);
  const ours = new Map(AGENT_PARAMETERS.map((one) => [one.name, one]));
  for (const theirs of known) {
    const one = ours.get(theirs.NameConfigFile);
    assert.ok(one, theirs.NameConfigFile);
    assert.equal(one.field, theirs.NameYAML, one.name);
    const traits = [
      ...(theirs.Required ? ['required'] : []),
      ...(theirs.OnParseFailure === 'Exit' ? ['fatal'] : []),
      ...(theirs.AllowedConfigSources === 'LocalOnly' ? ['local'] : []),
    ];
    assert.deepEqual(one.traits, traits, one.name);
    assert.deepEqual(defaultAsGo(defaultValue(one), theirs), JSON.parse(theirs.ParsedDefaultJSON));
  }
  const more = [...ours.values()].filter(
    ({ name }) => !known.some((theirs) => theirs.NameConfigFile === name),
  );
  const ofEnterprise = [
    'CaptureDir',
    'CaptureMaxFiles',
    'CaptureMaxSizeBytes',
    'CaptureRotationSeconds',
    'DropActionOverride',
    'FlowLogsCollectProcessInfo',
    'FlowLogsCollectTcpStats',
  ];
  const isOurs = (name: string): boolean =>
    ofEnterprise.includes(name) ||
    ENTERPRISE_PARAMETERS.some((one) => one.name === name) ||
    /^FlowLogs(File|EnableNetworkSets)/.test(name);
  const others = more.filter(({ name }) => !isOurs(name));
  for (const one of others) assert.deepEqual(one.traits, ['internal'], one.name);
  console.log(`felix-config parameters: ${known.length} of ${known.length}`);
  assert.equal(known.length, 209);
});

/** Go tells durations in nanoseconds, and null for what is empty. */
function defaultAsGo(value: ParameterValue, { ParsedType: type }: KnownParameter): unknown {
  if (type === 'time.Duration') return Number(value) * 1e6;
  if (type === 'idalloc.IndexRange') return value ?? { Min: 0, Max: 0 };
  if (type === '*regexp.Regexp' && value === '') return null;
  const empty = Array.isArray(value)
    ? value.length === 0
    : isObject(value) && Object.keys(value).length === 0;
  return empty ? null : value;
}
