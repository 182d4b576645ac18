// The house rules that a machine can hold: layers, purity, headers, sizes and names. Exit code 1 when broken.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { LAYERS, PACKAGES, PURE } from './layers.ts';

const LINES_MAX = 500;
const TEST_LINES_MAX = 800;
const COLUMNS_MAX = 120;
const BANNED_NAMES = /^(utils?|helpers?|common|misc|types|constants|base|manager)$/;
const BANNED_WORDS = /\b(FIXME|TODO|XXX)\b/;
const TEST_ONLY = /\btest\.only\b|\b(describe|it)\.only\b/;
const IMPURE =
  /\b(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|setImmediate|performance\.now|new Promise|async)\b/;

/** Every broken rule of one file, as `path:line: message`. `path` is relative to the project. */
export function tidyFile(path: string, text: string): string[] {
  const lines = text.split('\n');
  const problems = [...checkShape(path, lines)];
  const layer = /^src\/([^/]+)\//.exec(path)?.[1];
  if (layer !== undefined) problems.push(...checkImports(path, layer, lines));
  const isTest = path.endsWith('.test.ts') || path.endsWith('.contract.ts');
  if (layer !== undefined && PURE.includes(layer) && !isTest) {
    for (const [index, line] of lines.entries()) {
      const found = IMPURE.exec(stripComment(line));
      if (found) problems.push(`${path}:${index + 1}: pure layer "${layer}" uses ${found[0]}`);
    }
  }
  return problems;
}

function checkShape(path: string, lines: readonly string[]): string[] {
  const problems: string[] = [];
  const first = lines[0]?.startsWith('#!') ? lines[1] : lines[0];
  if (!first?.startsWith('// ')) problems.push(`${path}:1: first line must say what the file does`);
  const max = path.includes('.test.') ? TEST_LINES_MAX : LINES_MAX;
  if (lines.length > max) problems.push(`${path}: ${lines.length} lines, more than ${max}`);
  const name = basename(path).replace(/\..*$/, '');
  if (BANNED_NAMES.test(name))
    problems.push(`${path}: "${name}" says nothing, name the thing inside`);
  for (const [index, line] of lines.entries()) {
    if (line.length > COLUMNS_MAX)
      problems.push(`${path}:${index + 1}: longer than ${COLUMNS_MAX}`);
    if (path.startsWith('src/') && BANNED_WORDS.test(line)) {
      problems.push(`${path}:${index + 1}: leftover ${BANNED_WORDS.exec(line)?.[0]}`);
    }
    if (TEST_ONLY.test(line) && !path.startsWith('scripts/')) {
      problems.push(`${path}:${index + 1}: leftover .only`);
    }
  }
  return problems;
}

function checkImports(path: string, layer: string, lines: readonly string[]): string[] {
  const problems: string[] = [];
  const isTest = path.endsWith('.test.ts') || path.endsWith('.contract.ts');
  for (const [index, line] of lines.entries()) {
    const specifier =
      /(?:^import|^export .*\bfrom|^} from|^import .*\bfrom|\bimport\()\s*'([^']+)'/.exec(
        line,
      )?.[1];
    if (specifier === undefined || line.trimStart().startsWith('*')) continue;
    const problem = importProblem(layer, specifier, isTest, path);
    if (problem) problems.push(`${path}:${index + 1}: ${problem}`);
  }
  return problems;
}

function importProblem(
  layer: string,
  specifier: string,
  isTest: boolean,
  path: string,
): string | undefined {
  if (specifier.startsWith('.')) {
    const depth = path.split('/').length - 3;
    const climbs = specifier.split('/').filter((part) => part === '..').length;
    return climbs > depth ? `"${specifier}" climbs out of src/${layer}` : undefined;
  }
  if (layer === 'cmd' || isTest) return undefined;
  if (specifier.startsWith('#')) {
    const allowed = LAYERS[layer] ?? [];
    return allowed.includes(specifier)
      ? undefined
      : `${layer} may not import ${specifier}; it may import ${allowed.join(' ') || 'nothing'}`;
  }
  if (specifier.startsWith('node:')) {
    return PURE.includes(layer) ? `pure layer "${layer}" imports ${specifier}` : undefined;
  }
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  return PACKAGES[name]?.includes(layer)
    ? undefined
    : `${layer} may not import the package ${name}; see scripts/layers.ts`;
}

function stripComment(line: string): string {
  const trimmed = line.trimStart();
  if (trimmed.startsWith('//') || trimmed.startsWith('*') || trimmed.startsWith('/*')) return '';
  return line.replace(/\/\/ .*$/, '').replace(/'[^']*'/g, "''");
}

/** Rules of a SPEC.md (`- **CG7** …`) without a test `[CG7]`, and tests that cite no rule. */
export function tidySpec(folder: string, spec: string, tests: string): string[] {
  const rules = [...spec.matchAll(/^- \*\*([A-Z]+\d+)\*\*/gm)].map((match) => match[1] ?? '');
  const cited = new Set([...tests.matchAll(/\[([A-Z]+\d+)\]/g)].map((match) => match[1] ?? ''));
  const prefixes = new Set(rules.map((rule) => rule.replace(/\d+$/, '')));
  return [
    ...rules
      .filter((rule, index) => rules.indexOf(rule) !== index)
      .map((rule) => `${folder}/SPEC.md: two rules are named ${rule}`),
    ...rules
      .filter((rule) => !cited.has(rule))
      .map((rule) => `${folder}/SPEC.md: rule ${rule} has no test named [${rule}]`),
    ...[...cited]
      .filter((rule) => prefixes.has(rule.replace(/\d+$/, '')) && !rules.includes(rule))
      .map((rule) => `${folder}/SPEC.md: a test cites [${rule}], which is no rule`),
  ];
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function main(): void {
  const files = ['src', 'test', 'scripts', 'bench'].filter(existsSync).flatMap(filesBelow);
  const sources = files.filter((path) => path.endsWith('.ts'));
  const problems = sources.flatMap((path) => tidyFile(path, readFileSync(path, 'utf8')));
  const tests = sources
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
  for (const path of files.filter((path) => basename(path) === 'SPEC.md')) {
    problems.push(
      ...tidySpec(path.slice(0, -'/SPEC.md'.length), readFileSync(path, 'utf8'), tests),
    );
  }
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  process.stdout.write(`tidy: ${sources.length} files, ${problems.length} problems\n`);
  if (problems.length > 0) process.exitCode = 1;
}

if (process.argv[1] === import.meta.filename) main();
