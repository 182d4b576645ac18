// Tests of Go templates: blocks, pipelines, variables, functions, and texts that are none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readTemplate, renderTemplate, TemplateError } from './go-template.ts';

const nodes = [
  { metadata: { name: 'one', labels: { zone: 'a' } }, spec: { bgp: { asNumber: 64512 } } },
  { metadata: { name: 'two' }, spec: { bgp: { ipv4Address: '10.0.0.2/24' } } },
];

test('fields in any letter case, Go names of embedded parts, and what is absent', () => {
  const render = (text: string): string => renderTemplate(text, nodes);
  assert.equal(render('{{range .}}{{.ObjectMeta.Name}} {{end}}'), 'one two ');
  assert.equal(render('{{(index . 1).Spec.BGP.IPv4Address}}'), '10.0.0.2/24');
  assert.equal(render('{{(index . 1).spec.bgp.asNumber}}'), '<no value>');
  assert.equal(render('{{(index . 1).spec.nothing.deeper}}'), '<no value>');
});

test('if, else if, else, with, range with an index, and variables', () => {
  const text =
    '{{range $i, $n := .}}{{if eq $i 0}}first{{else if gt $i 5}}far{{else}}next{{end}}:' +
    '{{with $n.spec.bgp.asNumber}}AS{{.}}{{else}}no AS{{end}} {{end}}';
  assert.equal(renderTemplate(text, nodes), 'first:AS64512 next:no AS ');
  assert.equal(renderTemplate('{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}', {}), '2');
  assert.equal(renderTemplate('{{range .none}}x{{else}}empty{{end}}', {}), 'empty');
});

test('pipelines, functions, trimmed blanks, comments', () => {
  assert.equal(renderTemplate('{{.list | len}}', { list: [1, 2] }), '2');
  assert.equal(renderTemplate('{{join .list ","}}', { list: ['a', 'b'] }), 'a,b');
  assert.equal(renderTemplate('{{printf "%-4s|%3d|%q" "a" 7 "b"}}', {}), 'a   |  7|"b"');
  assert.equal(renderTemplate('a  {{- /* nothing */ -}}  b', {}), 'ab');
  assert.equal(renderTemplate('{{"}}"}}', {}), '}}');
  assert.equal(renderTemplate('{{and 1 0}}{{or 0 "x"}}{{not 0}}', {}), '0xtrue');
  assert.equal(renderTemplate('{{.m}}', { m: { b: [1], a: null } }), 'map[a:<no value> b:[1]]');
});

test('what is wrong whatever the value is said before there is one', () => {
  for (const [text, message] of [
    ['{{if false}}{{nosuch .}}{{end}}', /there is no function "nosuch"/],
    ['{{range .none}}{{$x}}{{end}}', /\$x is not declared/],
    ['{{with $y := .a}}{{end}}{{$y}}', /\$y is not declared/],
    ['{{range .none}}{{.a "b"}}{{end}}', /a value that is no function has arguments/],
    ['{{range .none}}{{.a | .b}}{{end}}', /a value that is no function has arguments/],
    ['{{range .none}}{{$z = 1}}{{end}}', /\$z is not declared; use \$z :=/],
  ] as const) {
    assert.throws(() => readTemplate(text), { name: 'TemplateError', message });
  }
  const right = '{{$a := 1}}{{range $i, $n := .}}{{if $n}}{{$a}}{{$i}}{{end}}{{else}}{{$a}}{{end}}';
  assert.equal(readTemplate(right)([]), '1');
});

test('what cannot be read is said', () => {
  const wrong: readonly [string, RegExp][] = [
    ['{{.a', /\{\{ at character 0 is not closed/],
    ['{{range .}}', /\{\{range \.\}\} has no \{\{end\}\}/],
    ['{{end}}', /\{\{end\}\} has no beginning/],
    ['{{nosuch .}}', /there is no function "nosuch"; use and/],
    ['{{$x}}', /\$x is not declared/],
    ['{{.a.b}}', /1 has no field b/],
    ['{{index .l 9}}', /index 9 is out of range: there are 0/],
    ['{{range 5}}{{end}}', /cannot range over 5/],
    ['{{(.a}}', /\( is not closed/],
    ['{{.a)}}', /unexpected \)/],
    ['{{"a" "b"}}', /a value that is no function has arguments/],
  ];
  for (const [text, message] of wrong) {
    assert.throws(() => renderTemplate(text, { a: 1, l: [] }), { name: 'TemplateError', message });
  }
});

test('any text is a template or a TemplateError', () => {
  const piece = fc.constantFrom(
    '{{',
    '}}',
    '{{-',
    '-}}',
    'range',
    'if',
    'else',
    'end',
    'with',
    '.',
    '.a',
    '$x',
    ':=',
    '=',
    '|',
    '(',
    ')',
    '"',
    '`',
    ' ',
    'len',
    'index',
    '1',
    'text',
    '/*',
    '*/',
    ',',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      try {
        renderTemplate(pieces.join(''), { a: [1, { a: 2 }] });
      } catch (error) {
        assert.ok(error instanceof TemplateError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});
