// What calicoctl's users do with resources, over calicoctl's own test data, with `tortie` and a real server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { startTortie, type Tortie } from '../kubernetes/command-line.ts';
import { corpusMissing, readCorpus, readCorpusFile } from './corpora.ts';

const skip = corpusMissing('calicoctl');

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    labels?: object;
    annotations?: object;
  };
  readonly spec?: Record<string, unknown>;
  readonly status?: unknown;
}

/** Namespaces and tiers that the resources stand in; and those of a kind that are seeded. */
async function prepare(tortie: Tortie, resources: readonly Resource[]): Promise<void> {
  const namespaces = new Set(resources.flatMap(({ metadata }) => metadata.namespace ?? []));
  const tiers = new Set(
    resources.flatMap(({ spec }) =>
      typeof spec?.['tier'] === 'string' && spec['tier'] !== 'default' ? spec['tier'] : [],
    ),
  );
  const items = [
    ...[...namespaces].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
    ...[...tiers].map((name) => ({
      apiVersion: 'projectcalico.org/v3',
      kind: 'Tier',
      metadata: { name },
      spec: { order: 100 },
    })),
  ];
  const { exitCode, err } = await tortie(['apply', '-f', '-'], {
    apiVersion: 'v1',
    kind: 'List',
    items,
  });
  assert.equal(exitCode, 0, err);
}

/** Every field that was written is there, with the same value; defaults may have come. */
function assertHolds(actual: unknown, wanted: unknown, path: string): void {
  if (Array.isArray(wanted)) {
    assert.ok(Array.isArray(actual), path);
    assert.equal(actual.length, wanted.length, path);
    for (const [index, item] of wanted.entries())
      assertHolds(actual[index], item, `${path}[${index}]`);
  } else if (typeof wanted === 'object' && wanted !== null) {
    assert.ok(typeof actual === 'object' && actual !== null, `${path} is absent`);
    for (const [key, item] of Object.entries(wanted)) {
      // calicoctl's own data has names in other letter cases.
      const found = Object.entries(actual).find(([it]) => it.toLowerCase() === key.toLowerCase());
      assertHolds(found?.[1], item, `${path}.${key}`);
    }
  } else if (path.startsWith('felixconfig') && typeof wanted === 'string') {
    // The agent's older parameters are words in any letter case, stored as the schema spells them.
    assert.equal(String(actual).toLowerCase(), wanted.toLowerCase(), path);
  } else assert.deepEqual(actual, wanted, path);
}

/** Writes out lists that the corpus describes; a reservation has its networks under their own name. */
function writtenOut(resource: Resource): Resource {
  if (typeof resource.spec?.['nets'] !== 'string') return resource;
  const nets = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i % 256}.0/28`);
  return {
    ...resource,
    spec: resource.kind === 'IPReservation' ? { reservedCIDRs: nets } : { nets },
  };
}

/** Without what is the server's own to set: most metadata, and the status. */
function asWritten({ metadata, status: _, ...body }: Resource): unknown {
  const { name, namespace, labels, annotations } = metadata;
  const kept = Object.entries({ name, namespace, labels, annotations });
  return { ...body, metadata: Object.fromEntries(kept.filter(([, value]) => value !== undefined)) };
}

const scopeOf = ({ metadata }: Resource): string[] =>
  metadata.namespace === undefined ? [] : ['-n', metadata.namespace];

test('every resource is created, read back, replaced, applied, labelled, patched and deleted', {
  skip,
}, async (context) => {
  const { tortie } = await startTortie(context);
  const all = readCorpusFile<Record<string, Resource | Resource[]>>('calicoctl/resources.json');
  const valid = Object.entries(all).filter(
    (entry): entry is [string, Resource] =>
      !Array.isArray(entry[1]) && !entry[0].includes('invalid'),
  );
  await prepare(
    tortie,
    valid.map(([, resource]) => resource),
  );
  let count = 0;
  for (const [id, described] of valid) {
    const resource = writtenOut(described);
    const { kind, metadata } = resource;
    // The bare word means Kubernetes' Node, from which Calico's follows.
    const word = kind === 'Node' ? 'nodes.projectcalico.org' : kind.toLowerCase();
    const there = [word, metadata.name, ...scopeOf(resource)];
    const run = async (words: readonly string[], input?: unknown): Promise<string> => {
      const { exitCode, out, err } = await tortie(words, input);
      assert.equal(exitCode, 0, `${id}: ${words.join(' ')}: ${err}`);
      return out;
    };
    // Names that a new server has already, such as the defaults, are replaced.
    const seeded = (await tortie(['get', ...there])).exitCode === 0;
    if (seeded) await run(['delete', ...there]);
    assert.match(
      await run(['create', '-f', '-'], resource),
      new RegExp(`^Successfully created 1 '${kind}' resource\\(s\\)$`, 'm'),
    );
    const again = await tortie(['create', '-f', '-'], resource);
    assert.equal(again.exitCode, 1, id);
    assert.match(again.err, new RegExp(`^Failed to create '${kind}' resource:`, 'm'));
    await run(['create', '--skip-exists', '-f', '-'], resource);
    for (const output of ['json', 'yaml']) {
      const text = await run(['get', '-f', '-', '-o', output, '--export'], resource);
      assertHolds(output === 'json' ? JSON.parse(text) : parse(text), asWritten(resource), id);
    }
    const exported = await run(['get', ...there, '-o', 'yaml', '--export']);
    assert.doesNotMatch(exported, /^ {2}(uid|resourceVersion|creationTimestamp):/m);
    await run(['replace', '-f', '-'], exported);
    await run(['apply', '-f', '-'], resource);
    assert.match(
      await run(['label', ...there, 'tortie-test=yes']),
      new RegExp(`^Successfully set label tortie-test on ${kind} ${metadata.name}$`, 'm'),
    );
    assert.equal((await tortie(['label', ...there, 'tortie-test=no'])).exitCode, 1);
    await run(['label', ...there, 'tortie-test=no', '--overwrite']);
    await run(['label', ...there, 'tortie-test', '--remove']);
    const patch = JSON.stringify({ metadata: { annotations: { patched: 'yes' } } });
    assert.match(await run(['patch', ...there, '-p', patch]), /^Successfully patched 1 /);
    assert.match(await run(['get', ...there, '-o', 'yaml']), /patched: ["']?yes/);
    for (const output of ['ps', 'wide']) {
      assert.match(await run(['get', ...there, '-o', output]), /^(NAME|WORKLOAD) /);
    }
    assert.match(await run(['delete', '-f', '-'], resource), /^Successfully deleted 1 /m);
    assert.equal((await tortie(['replace', '-f', '-'], resource)).exitCode, 1);
    await run(['delete', '-f', '-', '--skip-not-exists'], resource);
    count++;
  }
  context.diagnostic(`calicoctl: ${count} of ${valid.length} resources through every verb`);
});

test('what calicoctl refuses is refused, and the field is named', { skip }, async (context) => {
  const { tortie } = await startTortie(context);
  const rows = readCorpus<{ id: string; resource?: Resource; resources?: Resource[] }>(
    'calicoctl/invalid.json',
  );
  await prepare(
    tortie,
    rows.flatMap((row) => row.resource ?? row.resources ?? []),
  );
  for (const { id, resource, resources } of rows) {
    const input = resource ?? { apiVersion: 'v1', kind: 'List', items: resources };
    const { exitCode, out, err } = await tortie(['create', '-f', '-'], input);
    assert.notEqual(exitCode, 0, `${id}: ${out}`);
    assert.match(
      err,
      /(spec|metadata)\.[\w.[\]]+: |kind: |apiVersion|knp\.default|name/,
      `${id}: ${err}`,
    );
    assert.doesNotMatch(out, /created/, id);
  }
  context.diagnostic(`calicoctl: ${rows.length} of ${rows.length} refusals`);
});

test("tables are calicoctl's, to the blank", { skip }, async (context) => {
  const { tortie } = await startTortie(context);
  const all = readCorpusFile<Record<string, Resource>>('calicoctl/resources.json');
  const rows = readCorpus<{ table: string; wide: boolean; resource: string; text: string }>(
    'calicoctl/get-tables.json',
  );
  for (const { table, wide, resource, text } of rows) {
    const pool = all[resource];
    assert.equal((await tortie(['create', '-f', '-'], pool)).exitCode, 0);
    const words = ['get', 'ippool', pool?.metadata.name ?? '', ...(wide ? ['-o', 'wide'] : [])];
    const { out } = await tortie(words);
    assert.equal(out.trimEnd(), text, table);
    await tortie(['delete', '-f', '-'], pool);
  }
});

test('a context is chosen, columns are chosen, and a template is filled', {
  skip,
}, async (context) => {
  const { tortie } = await startTortie(context);
  const all = readCorpusFile<Record<string, Resource>>('calicoctl/resources.json');
  const pools = [all['ippool_name1_rev1_v4'], all['ippool_name2_rev1_v6']];
  assert.equal((await tortie(['create', '-f', '-'], pools)).exitCode, 0);
  const elsewhere = await tortie(['get', 'ippool', '--context', 'elsewhere']);
  assert.equal(elsewhere.exitCode, 1);
  assert.match(elsewhere.err, /has no context "elsewhere"/);
  const names = pools.map((pool) => pool?.metadata.name ?? '');
  const columns = await tortie(['get', 'ippool', ...names, '-o', 'custom-columns=cidr,NAME']);
  assert.equal(
    columns.out,
    'CIDR             NAME           \n' +
      '10.0.1.0/24      ippool-name1   \n' +
      'fed0:8001::/64   ippool-name2   \n',
  );
  const template = '{{range .}}{{.ObjectMeta.Name}}={{.Spec.CIDR}};{{end}}';
  const filled = await tortie(['get', 'ippool', ...names, '-o', `go-template=${template}`]);
  assert.equal(filled.out, 'ippool-name1=10.0.1.0/24;ippool-name2=fed0:8001::/64;');
  const unknown = await tortie(['get', 'ippool', '-o', 'custom-columns=COLOUR']);
  assert.equal(unknown.exitCode, 2);
  assert.match(unknown.err, /Cannot print the columns COLOUR of ippools: there are NAME, CIDR/);
});
