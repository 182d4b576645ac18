// The CRDs that the kinds give, field by field against Calico's own; each difference has its reason.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crdOf, type CustomResourceDefinition, KINDS } from '#api';
import { isObject } from '#lib';
import { corpusMissing, readCorpusFile } from './corpora.ts';
import { DIFFERENCES, type Difference } from './calico-crds-differences.ts';

const skip = corpusMissing('calico-crds');

type Keywords = Readonly<Record<string, unknown>>;
type Markers = Readonly<Record<string, Marker>>;
interface Marker {
  readonly group: string;
  readonly version: string;
  readonly scope: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly printerColumns: readonly Keywords[];
  readonly subresources: object;
  readonly fields: readonly (Keywords & { readonly path: string })[];
}

const NESTED: readonly string[] = ['properties', 'items', 'additionalProperties', 'required'];

/** Each field's keywords by path: `[]` is a list's item, `{}` a map's value. */
function fieldsOf(schema: Keywords, path: string, required: boolean): [string, Keywords][] {
  const own = Object.entries(schema).filter(
    ([keyword]) => !NESTED.includes(keyword) && keyword !== 'description',
  );
  const keywords = { type: null, ...Object.fromEntries(own), ...(required && { required }) };
  const needed = Array.isArray(schema['required']) ? schema['required'] : [];
  const members = Object.entries(isObject(schema['properties']) ? schema['properties'] : {})
    .filter(([name]) => path !== '' || !['apiVersion', 'kind', 'metadata'].includes(name))
    .flatMap(([name, member]) =>
      fieldsOf(member as Keywords, path === '' ? name : `${path}.${name}`, needed.includes(name)),
    );
  const { items, additionalProperties: values } = schema;
  return [
    [path, keywords],
    ...members,
    ...(isObject(items) ? fieldsOf(items, `${path}[]`, false) : []),
    ...(isObject(values) ? fieldsOf(values, `${path}{}`, false) : []),
  ];
}

/** `Kind path: keyword ours against theirs` of every keyword that is not the same. */
interface Found {
  readonly kind: string;
  readonly path: string;
  readonly keyword: string;
  readonly ours: unknown;
  readonly theirs: unknown;
}

function compareField(kind: string, path: string, ours: Keywords, theirs: Keywords): Found[] {
  const names = new Set([...Object.keys(ours), ...Object.keys(theirs)]);
  return [...names].flatMap((keyword) => {
    const [a, b] = [ours[keyword], theirs[keyword]];
    const ordered = keyword === 'printerColumns';
    if (JSON.stringify(sorted(a, ordered)) === JSON.stringify(sorted(b, ordered))) return [];
    return [{ kind, path, keyword, ours: a, theirs: b }];
  });
}

/** The same value with the members of objects in order, and the items of lists too unless theirs counts. */
function sorted(value: unknown, ordered: boolean): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => JSON.stringify(sorted(item, ordered)));
    return ordered ? items : items.sort();
  }
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([x], [y]) => (x < y ? -1 : 1))
      .map(([name, member]) => [name, sorted(member, ordered)]),
  );
}

function versionOf(crd: CustomResourceDefinition): Keywords {
  const [version] = crd.spec['versions'] as readonly Keywords[];
  assert.ok(version);
  return version;
}

function compareKind(kind: string, marker: Marker): { total: number; found: Found[] } {
  const definition = KINDS.find((one) => one.kind === kind && one.group === marker.group);
  assert.ok(definition, `no kind ${kind}`);
  const crd = crdOf(definition);
  const version = versionOf(crd);
  const { openAPIV3Schema } = version['schema'] as { openAPIV3Schema: Keywords };
  const names = crd.spec['names'] as Keywords;
  const ours = new Map(fieldsOf(openAPIV3Schema, '', false));
  const theirs = new Map(marker.fields.map(({ path, ...rest }) => [path, rest as Keywords]));
  const head = (value: Keywords) => compareField(kind, '(kind)', value, headOf(marker));
  const found = head({
    group: crd.spec['group'],
    version: version['name'],
    scope: crd.spec['scope'],
    plural: names['plural'],
    shortNames: names['shortNames'] ?? [],
    printerColumns: version['additionalPrinterColumns'] ?? [],
    subresources: version['subresources'] ?? {},
  });
  for (const path of new Set([...ours.keys(), ...theirs.keys()])) {
    const [a, b] = [ours.get(path), theirs.get(path)];
    if (a && b) found.push(...compareField(kind, path, a, b));
    else found.push({ kind, path, keyword: '(field)', ours: Boolean(a), theirs: Boolean(b) });
  }
  return { total: theirs.size + 1, found };
}

function headOf({ fields: _, ...head }: Marker): Keywords {
  return head;
}

function explains({ kinds, path, keywords, added }: Difference, found: Found): boolean {
  return (
    kinds.includes(found.kind) &&
    (!added || found.theirs === undefined) &&
    path.test(found.path) &&
    keywords.includes(found.keyword)
  );
}

test('every field of every CRD is as in Calico, or differs for a reason', { skip }, () => {
  const markers = readCorpusFile<Markers>('calico-crds/markers.projectcalico.org_v3.json');
  const results = Object.entries(markers).map(([kind, marker]) => compareKind(kind, marker));
  const total = results.reduce((sum, result) => sum + result.total, 0);
  const found = results.flatMap((result) => result.found);
  const unexplained = found.filter((one) => !DIFFERENCES.some((reason) => explains(reason, one)));
  for (const one of unexplained) console.log(JSON.stringify(one));
  assert.equal(unexplained.length, 0);
  const stale = DIFFERENCES.filter((reason) => !found.some((one) => explains(reason, one)));
  assert.deepEqual(stale, []);
  const differing = new Set(
    found.filter(({ theirs }) => theirs !== false).map(({ kind, path }) => `${kind} ${path}`),
  );
  console.log(`calico-crds: ${total - differing.size} of ${total} fields equal`);
  assert.deepEqual([total - differing.size, total], [EQUAL, TOTAL]);
});

const EQUAL = 1130;
const TOTAL = 1263;
