// docs/felix-configuration.md says of every parameter what it does here; UPDATE=1 writes its tables anew.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AGENT_PARAMETERS, effectOf, type Parameter, type ParameterEffect } from '#api';
import { WORKING } from './felix-configuration-rows.ts';

const ROOT = join(import.meta.dirname, '..');
const FILE = join(ROOT, 'docs', 'felix-configuration.md');

function labelOf({ name, field }: Parameter): string {
  return field === '' ? `\`${name}\` (host only)` : `\`${field}\``;
}

function of<Effect extends ParameterEffect['effect']>(effect: Effect): Parameter[] {
  return AGENT_PARAMETERS.filter(({ name }) => effectOf(name).effect === effect).toSorted((a, b) =>
    labelOf(a).localeCompare(labelOf(b), 'en'),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function workingTable(): string {
  const rows = of('works').map((one) => {
    const { does = '', file = '', test: name = '' } = WORKING[one.name] ?? {};
    const defaultText = one.defaultText.replaceAll('|', '\\|');
    return [labelOf(one), defaultText && `\`${defaultText}\``, does, `${file}: ${name}`];
  });
  return table(['parameter', 'default', 'does', 'shown by'], rows);
}

/** By reason, in the order of the parameters. */
function groupedTable(effect: 'not-yet' | 'none', head: string): string {
  const groups = new Map<string, string[]>();
  for (const one of of(effect)) {
    const known = effectOf(one.name);
    const reason =
      known.effect === 'not-yet' ? known.part : known.effect === 'none' ? known.why : '';
    groups.set(reason, [...(groups.get(reason) ?? []), labelOf(one)]);
  }
  const rows = [...groups].map(([reason, labels]) => [reason, labels.join(', ')]);
  return table([head, 'parameters'], rows);
}

function withPart(text: string, mark: string, part: string): string {
  const pattern = new RegExp(`(<!-- ${mark} -->\n)[^]*?(<!-- end -->)`);
  assert.match(text, pattern);
  return text.replace(pattern, (_, begin, end) => `${begin}\n${part}\n\n${end}`);
}

test('the page says of every parameter what it does here', () => {
  const text = readFileSync(FILE, 'utf8');
  const parts: readonly (readonly [string, string])[] = [
    ['works', workingTable()],
    ['not yet', groupedTable('not-yet', 'needs')],
    ['none', groupedTable('none', 'why')],
  ];
  const wanted = parts.reduce((page, [mark, part]) => withPart(page, mark, part), text);
  if (process.env['UPDATE'] === '1') writeFileSync(FILE, wanted);
  else assert.equal(text, wanted, `${FILE} is old: run this test with UPDATE=1`);
});

test('every parameter that works is shown by a test that there is, and no other has one', () => {
  const names = of('works').map(({ name }) => name);
  assert.deepEqual(Object.keys(WORKING).toSorted(), names.toSorted());
  for (const [name, row] of Object.entries(WORKING)) {
    const source = readFileSync(join(ROOT, row.file), 'utf8');
    const titles = [...source.matchAll(/test\(\s*(['"`])([^]*?)\1,/g)].map(
      (match) => match[2] ?? '',
    );
    assert.ok(
      titles.some((title) => title.includes(row.test)),
      `${name}: ${row.file} ${row.test}`,
    );
  }
});
