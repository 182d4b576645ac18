// Results of policy tests as JUnit XML, which build servers read.
import type { AssertionResult } from '#policy';

export interface TestRun {
  readonly name: string;
  /** The file of the test. */
  readonly source: string;
  readonly results: readonly AssertionResult[];
}

/** One testsuite a PolicyTest, one testcase an assertion; a failure holds the explanation. */
export function formatJunit(runs: readonly TestRun[]): string {
  const all = runs.flatMap(({ results }) => results);
  const suites = runs.map(
    (run) =>
      `  <testsuite name="${escapeXml(run.name)}" ${counts(run.results)} file="${escapeXml(run.source)}">\n` +
      `${run.results.map((result) => testCase(run.name, result)).join('')}  </testsuite>\n`,
  );
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    `<testsuites name="tortie" ${counts(all)}>\n${suites.join('')}</testsuites>\n`
  );
}

function counts(results: readonly AssertionResult[]): string {
  const failures = results.filter(({ failure }) => failure !== undefined).length;
  return `tests="${results.length}" failures="${failures}" errors="0"`;
}

function testCase(suite: string, { title, failure, explanation }: AssertionResult): string {
  const opening = `    <testcase classname="${escapeXml(suite)}" name="${escapeXml(title)}"`;
  if (failure === undefined) return `${opening}/>\n`;
  const text = escapeXml(explanation ?? failure);
  const element = `      <failure message="${escapeXml(failure)}">${text}</failure>\n`;
  return `${opening}>\n${element}    </testcase>\n`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

/** XML 1.0 has no place at all for most control characters: they become U+FFFD. */
function escapeXml(text: string): string {
  return (
    text
      // oxlint-disable-next-line no-control-regex
      .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
      .replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? character)
  );
}
