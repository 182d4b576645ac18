// The ordered collection against a sorted list, over enough names that its runs split and go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OrderedVersions } from './ordered-versions.ts';
import { ValueArena, Version, textOf } from './value-arena.ts';

const place = { kind: 'pods', namespace: '' };

/** The same numbers for the same seed: mulberry32. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('[ST10] names stay in order, whichever come and go', () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const random = numbers(seed);
  for (const inOrder of [true, false]) {
    const ordered = new OrderedVersions();
    const expected = new Map<string, Version>();
    for (let number = 0; number < 1500; number++) {
      const name = `name-${String(number * 2).padStart(5, '0')}`;
      expected.set(name, new Version(place, name, 0));
    }
    ordered.fill([...expected.values()]);
    const check = (): void => {
      const names = [...expected.keys()].sort();
      assert.equal(ordered.size, names.length, `seed ${seed}`);
      assert.deepEqual(
        [...ordered.after(undefined)].map(({ name }) => name),
        names,
        `seed ${seed}`,
      );
      for (const name of ['', 'name-2', names[names.length >> 1] ?? '', names.at(-1) ?? '', '~']) {
        const rest = names.filter((each) => each > name);
        assert.deepEqual(
          [...ordered.after(name)].map((each) => each.name),
          rest,
        );
        assert.equal(ordered.countAfter(name), rest.length);
      }
    };
    check();
    for (let turn = 0; turn < 6000; turn++) {
      const number = inOrder ? turn : Math.floor(random() * 3000);
      const name = `name-${String(number).padStart(5, '0')}`;
      const version = new Version(place, name, turn);
      assert.equal(ordered.get(name), expected.get(name));
      if (random() < (turn < 4000 ? 0.2 : 0.9)) {
        const [gone] = inOrder ? [expected.keys().next().value ?? name] : [name];
        assert.equal(ordered.delete(gone), expected.get(gone));
        expected.delete(gone);
      } else {
        assert.equal(ordered.set(version), expected.get(name));
        expected.set(name, version);
      }
      if (turn % 500 === 0) check();
    }
    check();
    for (const name of expected.keys()) ordered.delete(name);
    expected.clear();
    check();
  }
});

test('texts stay what they are while others go, and memory is given back', () => {
  const arena = new ValueArena();
  const texts = new Map<Version, string>();
  const released: [Version, string][] = [];
  const random = numbers(7);
  const put = (turn: number): void => {
    const version = new Version(place, `v${turn}`, turn);
    const text = JSON.stringify({ turn, text: 'ä€'.repeat(Math.floor(random() * 2000)) });
    arena.put(version, text);
    texts.set(version, text);
  };
  for (let turn = 0; turn < 4000; turn++) put(turn);
  put(4000);
  const large = new Version(place, 'large', 5000);
  arena.put(large, 'x'.repeat(3_000_000));
  for (const [version, text] of texts) {
    if (random() < 0.2) continue;
    texts.delete(version);
    arena.release(version);
    arena.release(version);
    if (random() < 0.01) released.push([version, text]);
  }
  for (const [version, text] of [...texts, ...released]) assert.equal(textOf(version), text);
  assert.equal(textOf(large).length, 3_000_000);
  const live = [...texts.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const blocks = new Set([...texts.keys()].map(({ block }) => block));
  const held = [...blocks].reduce((sum, block) => sum + (block?.bytes.length ?? 0), 0);
  assert.ok(held < live * 2 + (2 << 20), `${held} bytes are held for ${live}`);
});
