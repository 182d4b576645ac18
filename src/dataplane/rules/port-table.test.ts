// Tables of class and port, against the rules one after the other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergeIntervals } from './intervals.ts';
import { portTable, type TableRule } from './port-table.ts';
import type { ClassPortEntry } from './verdict-map.ts';

const CLASSES = 5;
const PORTS = 8;
const MOST = 1_000;
const NOTHING = 'nothing';

const ranges = (end: number) =>
  fc
    .array(fc.tuple(fc.nat(end), fc.nat(2)), { minLength: 1, maxLength: 3 })
    .map((list) =>
      mergeIntervals(
        list.map(([first, more]) => [BigInt(first), BigInt(Math.min(first + more, end))]),
      ),
    );

const rule = fc.record({
  ports: fc.option(ranges(PORTS), { nil: undefined, freq: 4 }),
  fitting: ranges(CLASSES),
});

void test('[DP40] of a table by class and port the first rule that fits decides', () => {
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 12 }), fc.boolean(), (list, hasOthers) => {
      const rules = list.map(({ ports, fitting }, index): TableRule => {
        return { fitting, chain: `d-${index}`, ...(ports && { ports }) };
      });
      const numbers = Array.from({ length: hasOthers ? CLASSES : CLASSES + 1 }, (_, at) => `${at}`);
      const table = portTable(rules, { numbers, hasOthers }, NOTHING, MOST);
      if (!table) throw new Error('there is room for this table');
      for (let port = 0; port <= PORTS + 1; port++) {
        for (let place = 0; place <= CLASSES; place++) {
          const fits = ({ fitting, ports }: TableRule) =>
            isIn(fitting, place) && (!ports || isIn(ports, port));
          const named: readonly ClassPortEntry[] = table.byClass.filter(
            (one) => one.number === numbers[place] && one.port === port,
          );
          assert.ok(named.length <= 1, 'an entry is there once');
          const anyPort = rules.find((one) => !one.ports && fits(one))?.chain;
          const byPort: string | undefined = table.byPort.find(
            (one) => one.first === BigInt(port),
          )?.chain;
          const got: string | undefined = named[0]?.chain ?? byPort ?? anyPort;
          assert.equal(got === NOTHING ? undefined : got, rules.find(fits)?.chain);
        }
      }
    }),
    { numRuns: 3000 },
  );
});

void test('a table of too many ports, or of too many entries, is none', () => {
  const classes = { numbers: ['1', '2'], hasOthers: true };
  const fitting = [[0n, 0n]] as const;
  const wide: TableRule = { ports: [[1n, 2_000n]], fitting, chain: 'd' };
  assert.equal(portTable([wide], classes, NOTHING, MOST), undefined);
  const many = Array.from({ length: 1_100 }, (_, port): TableRule => {
    return { ports: [[BigInt(port), BigInt(port)]], fitting, chain: 'd' };
  });
  assert.equal(portTable(many, classes, NOTHING, 10_000), undefined);
  const same = Array.from({ length: 200 }, () => ({ ...wide, ports: [[1n, 1_000n]] as const }));
  assert.equal(portTable(same, classes, NOTHING, 10_000), undefined, 'each would be gone through');
  assert.equal(portTable(many.slice(0, 20), classes, NOTHING, 10), undefined);
  assert.equal(portTable(many.slice(0, 20), classes, NOTHING, 20)?.byClass.length, 20);
});

function isIn(intervals: TableRule['fitting'], at: number): boolean {
  return intervals.some(([first, last]) => first <= BigInt(at) && BigInt(at) <= last);
}
