// Numbers or text, and durations: what reading and writing keep.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDuration } from './duration.ts';
import { formatProblem } from './formats.ts';
import { dscpNumber, readAsNumber, readDscp, readPort, readProtocol } from './number-or-text.ts';

test('an AS number is the same in one part and in two', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), (number) => {
      assert.equal(readAsNumber(number), number);
      assert.equal(readAsNumber(String(number)), number);
      assert.equal(readAsNumber(`${Math.trunc(number / 0x1_0000)}.${number % 0x1_0000}`), number);
    }),
  );
  for (const wrong of ['', '.', '1.', '1.65536', '4294967296', 1.5, -1, null, {}]) {
    assert.equal(readAsNumber(wrong), undefined, JSON.stringify(wrong));
  }
});

test('what is read stays what it is when read again', () => {
  const value = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.constantFrom('tcp', 'udplite', '80:80', 'ef'),
  );
  for (const read of [readPort, readProtocol, readDscp]) {
    fc.assert(
      fc.property(value, (given) => {
        const once = read(given);
        if (once !== undefined) assert.equal(read(once), once);
      }),
    );
  }
});

test('the bits of a mark', () => {
  const marks = [0, 63, 64, 'DF', 'CS6', 'AF11', 'AF43', 'EF', 'AF44'].map((mark) =>
    dscpNumber(mark),
  );
  assert.deepEqual(marks, [0, 63, undefined, 0, 48, 10, 38, 46, undefined]);
});

test('durations are the sum of their parts', () => {
  const parts: readonly (readonly [string, number | undefined])[] = [
    ['0', 0],
    ['90s', 90_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['20ms', 20],
    ['1m2s3ms', 62_003],
    ['5', undefined],
    ['s', undefined],
    ['-1s', undefined],
    ['', undefined],
  ];
  for (const [text, ms] of parts) {
    assert.equal(parseDuration(text), ms, text);
    assert.equal(formatProblem('duration', text) === undefined, ms !== undefined, text);
  }
});
