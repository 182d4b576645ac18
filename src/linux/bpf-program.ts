// Assembles programs of the classic Berkeley packet filter (linux/filter.h, linux/bpf_common.h).

import { LITTLE_ENDIAN } from './libc.ts';

/** One instruction; `jumpTrue` and `jumpFalse` count instructions to skip. */
export interface BpfInstruction {
  readonly code: number;
  readonly jumpTrue: number;
  readonly jumpFalse: number;
  readonly k: number;
}

/** What the program loads into its accumulator, or into its index register X. */
export const BPF = {
  /** From a fixed place of the packet. */
  LOAD_BYTE: 0x30,
  LOAD_HALF: 0x28,
  /** From X and a fixed distance on. */
  LOAD_BYTE_AT_X: 0x50,
  LOAD_HALF_AT_X: 0x48,
  /** The packet's length. */
  LOAD_LENGTH: 0x80,
  LOAD_MEMORY: 0x60,
  STORE_MEMORY: 0x02,
  LOAD_X: 0x01,
  LOAD_X_MEMORY: 0x61,
  /** Four times the low half of a byte: the length of an IPv4 header. */
  LOAD_X_HEADER_LENGTH: 0xb1,
  STORE_X_MEMORY: 0x03,
  ADD: 0x04,
  ADD_X: 0x0c,
  MULTIPLY: 0x24,
  AND: 0x54,
  TO_X: 0x07,
} as const;

/** Conditions of jumps: the accumulator against a number. */
export const BPF_IF = {
  EQUAL: 0x15,
  GREATER: 0x25,
  GREATER_OR_EQUAL: 0x35,
  ANY_BIT: 0x45,
} as const;

const JUMP = 0x05;
const RETURN = 0x06;
/** BPF_MAXINSNS. */
const MAX_INSTRUCTIONS = 4096;
const BYTES = 8;

type Line = Omit<BpfInstruction, 'k'> & { readonly k: number | string };

/** Collects instructions; jumps name a label, which must come later: programs have no loops. */
export class BpfAssembler {
  readonly #lines: Line[] = [];
  readonly #labels = new Map<string, number>();

  add(name: keyof typeof BPF, k = 0): this {
    this.#lines.push({ code: BPF[name], jumpTrue: 0, jumpFalse: 0, k });
    return this;
  }

  jump(label: string): this {
    this.#lines.push({ code: JUMP, jumpTrue: 0, jumpFalse: 0, k: label });
    return this;
  }

  /** However far the label is. */
  jumpIf(condition: keyof typeof BPF_IF, k: number, label: string): this {
    this.#lines.push({ code: BPF_IF[condition], jumpTrue: 0, jumpFalse: 1, k });
    return this.jump(label);
  }

  jumpUnless(condition: keyof typeof BPF_IF, k: number, label: string): this {
    this.#lines.push({ code: BPF_IF[condition], jumpTrue: 1, jumpFalse: 0, k });
    return this.jump(label);
  }

  /** The next instruction is where the label points. */
  label(name: string): this {
    this.#labels.set(name, this.#lines.length);
    return this;
  }

  /** Ends the program: so many bytes of the packet are kept, none of one that is refused. */
  answer(bytes: number): this {
    this.#lines.push({ code: RETURN, jumpTrue: 0, jumpFalse: 0, k: bytes });
    return this;
  }

  /** Throws RangeError for a program that the kernel would refuse. */
  finish(): BpfInstruction[] {
    if (this.#lines.length > MAX_INSTRUCTIONS) {
      throw new RangeError(
        `the filter takes ${this.#lines.length} instructions, more than ${MAX_INSTRUCTIONS}; use fewer ports`,
      );
    }
    return this.#lines.map((line, index) => ({ ...line, k: this.#resolve(line, index) }));
  }

  #resolve({ k }: Line, index: number): number {
    if (typeof k === 'number') return k;
    const target = this.#labels.get(k);
    if (target === undefined || target <= index) {
      throw new RangeError(`the label ${k} does not come after instruction ${index}`);
    }
    return target - index - 1;
  }
}

/** An array of struct sock_filter. */
export function bpfBytes(program: readonly BpfInstruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jumpTrue, jumpFalse, k }] of program.entries()) {
    view.setUint16(index * BYTES, code, LITTLE_ENDIAN);
    view.setUint8(index * BYTES + 2, jumpTrue);
    view.setUint8(index * BYTES + 3, jumpFalse);
    view.setUint32(index * BYTES + 4, k, LITTLE_ENDIAN);
  }
  return bytes;
}
