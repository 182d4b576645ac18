// Which packets a capture wants, by protocol and ports: for packets that were read, and as a program of the kernel's.
import { BpfAssembler, type BpfInstruction, type PacketTuple } from '#linux';

export interface PacketFilter {
  /** IANA number; any where absent. */
  readonly protocol?: number | undefined;
  /** First and last port of ranges, of either end; any where there are none. */
  readonly ports: readonly (readonly [first: number, last: number])[];
}

/** More of a frame than this is never asked for. */
const KEEP = 262_144;
/** Protocols whose header begins with the two ports: TCP, UDP, DCCP, SCTP, UDP-Lite. */
const WITH_PORTS = [6, 17, 33, 132, 136];
/** IPv6 extensions whose length counts 8 bytes: hop-by-hop, routing, destination, mobility, HIP, shim6. */
const EXTENSIONS = [0, 43, 60, 135, 139, 140];
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const MAX_EXTENSIONS = 8;

const ETHERNET = { TYPE: 12, HEADER: 14 } as const;
const ETHER_TYPE = { V4: 0x0800, V6: 0x86dd } as const;
/** Places of the program's memory: the protocol, and where the header with the ports is. */
const MEMORY = { PROTOCOL: 0, AT: 1 } as const;

/** Whether there is nothing that the filters leave out. */
export function wantsAll(filters: readonly PacketFilter[]): boolean {
  return (
    filters.length === 0 || filters.some((it) => it.protocol === undefined && it.ports.length === 0)
  );
}

/** Whether any of the filters wants the packet; of none, each does. `undefined` is no IP packet. */
export function wantsPacket(
  filters: readonly PacketFilter[],
  packet: PacketTuple | undefined,
): boolean {
  if (wantsAll(filters)) return true;
  return packet !== undefined && filters.some((filter) => wants(filter, packet));
}

function wants({ protocol, ports }: PacketFilter, packet: PacketTuple): boolean {
  if (protocol !== undefined && packet.protocol !== protocol) return false;
  if (ports.length === 0) return true;
  const { sourcePort, destinationPort } = packet;
  return ports.some(
    ([first, last]) => within(sourcePort, first, last) || within(destinationPort, first, last),
  );
}

function within(port: number | undefined, first: number, last: number): boolean {
  return port !== undefined && port >= first && port <= last;
}

/**
 * The filters as a program on Ethernet frames; undefined where every frame is wanted. It agrees with `wantsPacket` on
 * every frame whose headers are whole. Throws RangeError where the filters have too many ports.
 */
export function filterProgram(filters: readonly PacketFilter[]): BpfInstruction[] | undefined {
  if (wantsAll(filters)) return undefined;
  const program = new BpfAssembler();
  program
    .add('LOAD_HALF', ETHERNET.TYPE)
    .jumpIf('EQUAL', ETHER_TYPE.V4, 'v4')
    .jumpIf('EQUAL', ETHER_TYPE.V6, 'v6')
    .jump('refuse');
  readV4(program.label('v4'));
  readV6(program.label('v6'));
  // Those without ports first: a load beyond the end of the frame refuses it.
  program.label('no ports');
  addFilters(
    program,
    filters.filter((it) => it.ports.length === 0),
    'bare',
  );
  program.jump('refuse').label('with ports');
  addFilters(
    program,
    filters.filter((it) => it.ports.length === 0),
    'any port',
  );
  addFilters(
    program,
    filters.filter((it) => it.ports.length > 0),
    'port',
  );
  return program.label('refuse').answer(0).label('keep').answer(KEEP).finish();
}

/** Goes on at `with ports` with X and the protocol set, or at `no ports` with the protocol alone. */
function readV4(program: BpfAssembler): void {
  const at = ETHERNET.HEADER;
  program
    .add('LOAD_LENGTH')
    .jumpUnless('GREATER_OR_EQUAL', at + 20, 'refuse')
    .add('LOAD_BYTE', at)
    .jumpUnless('GREATER_OR_EQUAL', 0x45, 'refuse')
    .jumpIf('GREATER_OR_EQUAL', 0x50, 'refuse')
    .add('LOAD_BYTE', at + 9)
    .add('STORE_MEMORY', MEMORY.PROTOCOL)
    .add('LOAD_HALF', at + 6)
    .jumpIf('ANY_BIT', 0x1fff, 'no ports')
    .add('LOAD_X_HEADER_LENGTH', at);
  // From here on X counts from the frame's begin.
  moveIndex(program, at).jump('with ports');
}

function readV6(program: BpfAssembler): void {
  const at = ETHERNET.HEADER;
  program
    .add('LOAD_LENGTH')
    .jumpUnless('GREATER_OR_EQUAL', at + 40, 'refuse')
    .add('LOAD_BYTE', at)
    .jumpUnless('GREATER_OR_EQUAL', 0x60, 'refuse')
    .jumpIf('GREATER_OR_EQUAL', 0x70, 'refuse')
    .add('LOAD_BYTE', at + 6)
    .add('STORE_MEMORY', MEMORY.PROTOCOL)
    .add('LOAD_X', at + 40);
  for (let count = 0; count < MAX_EXTENSIONS; count++) skipExtension(program, count);
  program.jump('no ports');
}

/** One header: goes on at `with ports` where it is no extension, behind it where it is one. */
function skipExtension(program: BpfAssembler, count: number): void {
  const names = {
    fragment: `fragment ${count}`,
    authentication: `authentication ${count}`,
    other: `extension ${count}`,
    move: `move ${count}`,
    end: `header ${count + 1}`,
  };
  program
    .add('LOAD_MEMORY', MEMORY.PROTOCOL)
    .jumpIf('EQUAL', FRAGMENT, names.fragment)
    .jumpIf('EQUAL', AUTHENTICATION, names.authentication);
  for (const extension of EXTENSIONS) program.jumpIf('EQUAL', extension, names.other);
  program
    .jump('with ports')
    .label(names.fragment)
    .add('LOAD_BYTE_AT_X', 0)
    .add('STORE_MEMORY', MEMORY.PROTOCOL)
    .add('LOAD_HALF_AT_X', 2)
    .jumpIf('ANY_BIT', 0xfff8, 'no ports');
  moveIndex(program, 8).jump(names.end);
  program
    .label(names.authentication)
    .add('LOAD_BYTE_AT_X', 0)
    .add('STORE_MEMORY', MEMORY.PROTOCOL)
    .add('LOAD_BYTE_AT_X', 1)
    .add('ADD', 2)
    .add('MULTIPLY', 4)
    .jump(names.move)
    .label(names.other)
    .add('LOAD_BYTE_AT_X', 0)
    .add('STORE_MEMORY', MEMORY.PROTOCOL)
    .add('LOAD_BYTE_AT_X', 1)
    .add('ADD', 1)
    .add('MULTIPLY', 8)
    .label(names.move)
    .add('ADD_X')
    .add('TO_X')
    .label(names.end);
}

/** Adds to X, through the accumulator. */
function moveIndex(program: BpfAssembler, distance: number): BpfAssembler {
  return program
    .add('STORE_X_MEMORY', MEMORY.AT)
    .add('LOAD_MEMORY', MEMORY.AT)
    .add('ADD', distance)
    .add('TO_X');
}

function addFilters(program: BpfAssembler, filters: readonly PacketFilter[], name: string): void {
  for (const [index, { protocol, ports }] of filters.entries()) {
    const next = `${name} after ${index}`;
    const found = `${name} protocol ${index}`;
    program.add('LOAD_MEMORY', MEMORY.PROTOCOL);
    if (protocol !== undefined) program.jumpUnless('EQUAL', protocol, next);
    if (ports.length === 0) program.jump('keep');
    else {
      for (const known of WITH_PORTS) program.jumpIf('EQUAL', known, found);
      program.jump(next).label(found);
      for (const end of [0, 2]) {
        program.add('LOAD_HALF_AT_X', end);
        for (const [at, [first, last]] of ports.entries()) {
          const other = `${name} ${index} ${end} ${at}`;
          program
            .jumpUnless('GREATER_OR_EQUAL', first, other)
            .jumpUnless('GREATER', last, 'keep')
            .label(other);
        }
      }
    }
    program.label(next);
  }
}
