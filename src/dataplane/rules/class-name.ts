// Classes: what is decided alike is told apart by short numbers that the kernel keeps in a register.
import { hash } from 'node:crypto';
import { shortHash } from './names.ts';

/** By name of the class. Four bytes, hexadecimal. */
export type ClassNumbers = ReadonlyMap<string, string>;

const NUMBERS = 2 ** 32;

/** The name of a class, by what is in it: no two have the same. */
export function className(content: string): string {
  return shortHash(content);
}

/**
 * Numbers of classes that stand beside each other: hashes of their names, so that a class keeps its number when
 * others come and go, but where two hashes are the same.
 */
export function classNumbers(names: Iterable<string>): ClassNumbers {
  const taken = new Set<number>();
  const numbers = new Map<string, string>();
  for (const name of [...names].sort()) {
    let number = hash('sha256', name, 'buffer').readUInt32BE(0);
    while (taken.has(number)) number = (number + 1) % NUMBERS;
    taken.add(number);
    numbers.set(name, number.toString(16).padStart(8, '0'));
  }
  return numbers;
}
