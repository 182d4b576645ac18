// That tidy rings: each rule broken once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tidyFile, tidySpec } from './tidy.ts';

const broken: readonly (readonly [string, string, string, RegExp])[] = [
  ['no header', 'src/lib/x.ts', 'export const x = 1;\n', /first line/],
  ['wrong layer', 'src/lib/x.ts', "// X.\nimport { y } from '#api';\n", /lib may not import #api/],
  ['past a door', 'src/api/x.ts', "// X.\nimport { y } from '../lib/y.ts';\n", /climbs out/],
  ['impure import', 'src/calc/x.ts', "// X.\nimport fs from 'node:fs';\n", /pure layer/],
  ['clock', 'src/policy/x.ts', '// X.\nconst now = Date.now();\n', /uses Date\.now/],
  ['package', 'src/cni/x.ts', "// X.\nimport koffi from 'koffi';\n", /may not import the package/],
  ['banned name', 'src/lib/utils.ts', '// X.\n', /says nothing/],
  ['long file', 'src/lib/x.ts', `// X.\n${'\n'.repeat(600)}`, /lines, more than/],
];

for (const [name, path, text, expected] of broken) {
  test(`tidy sees: ${name}`, () => {
    assert.match(tidyFile(path, text).join('\n'), expected);
  });
}

test('tidy accepts a good file', () => {
  assert.deepEqual(tidyFile('src/api/x.ts', "// X.\nimport { y } from '#lib';\n"), []);
});

test('tidy ties SPEC rules to tests', () => {
  assert.match(tidySpec('src/calc', '- **CG1** A rule.', '').join(), /CG1 has no test/);
  assert.match(
    tidySpec('src/calc', '- **CG1** A rule.', "'[CG1]' '[CG2]'").join(),
    /cites \[CG2\]/,
  );
  assert.deepEqual(tidySpec('src/calc', '- **CG1** One.\n- **CG1** Another.', "'[CG1]'"), [
    'src/calc/SPEC.md: two rules are named CG1',
  ]);
});
