// nftables flowtables: devices between which packets of known connections skip the rules, to and from netlink.
import { type AttributeWriter, parseAttributes } from '../netlink/attribute.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';

/** What a flowtable is; packets come in by its devices. */
export interface Flowtable {
  readonly priority: number;
  /** Names of interfaces that are there. */
  readonly devices: readonly string[];
}

/** Numbers of the messages, with the subsystem in their high byte. */
export const FLOWTABLE_MESSAGE = { NEW: 0xa16, GET: 0xa17, DELETE: 0xa18 } as const;
/** linux/netfilter/nf_tables.h: NFTA_FLOWTABLE_*. */
export const FLOWTABLE = { TABLE: 1, NAME: 2, HOOK: 3, FLAGS: 7 } as const;
const HOOK = { NUMBER: 1, PRIORITY: 2, DEVICES: 3 } as const;
const DEVICE_NAME = 1;
const INGRESS = 0;
/** Packets and bytes are counted in the connection's entry, as without a flowtable. */
const FLAG_COUNTER = 2;
/** The kernel takes at most 256 in one message. */
const DEVICES_PER_MESSAGE = 200;
const HEADER_BYTES = 4;

/**
 * The bodies that make a flowtable, or add devices to one; `begin` writes table and name. Several where there are
 * many devices.
 */
export function flowtableBodies(begin: () => AttributeWriter, flowtable: Flowtable): Uint8Array[] {
  const { priority, devices } = flowtable;
  const bodies: Uint8Array[] = [];
  for (let start = 0; start === 0 || start < devices.length; start += DEVICES_PER_MESSAGE) {
    const some = devices.slice(start, start + DEVICES_PER_MESSAGE);
    const writer = begin().nested(FLOWTABLE.HOOK, (hook) => {
      hook.be32(HOOK.NUMBER, INGRESS).be32(HOOK.PRIORITY, priority >>> 0);
      if (some.length === 0) return;
      hook.nested(HOOK.DEVICES, (list) => {
        for (const device of some) list.string(DEVICE_NAME, device);
      });
    });
    bodies.push(writer.be32(FLOWTABLE.FLAGS, FLAG_COUNTER).finish());
  }
  return bodies;
}

/** The flowtables of a table of family inet, by name. The kernel forgets devices that go. */
export function readFlowtables(
  socket: NetlinkSocket,
  table: string,
  begin: () => AttributeWriter,
): Map<string, Flowtable> {
  const body = begin().finish();
  const action = `cannot read flowtables of nftables table inet ${table}`;
  const flowtables = new Map<string, Flowtable>();
  for (const message of socket.dump({ type: FLOWTABLE_MESSAGE.GET, body, action })) {
    const attributes = parseAttributes(message.body.subarray(HEADER_BYTES));
    const name = attributes.string(FLOWTABLE.NAME);
    if (name === undefined || attributes.string(FLOWTABLE.TABLE) !== table) continue;
    const hook = attributes.nested(FLOWTABLE.HOOK);
    const priority = (hook?.be32(HOOK.PRIORITY) ?? 0) | 0;
    const devices = (hook?.list(HOOK.DEVICES) ?? []).map(({ data }) => textOf(data));
    flowtables.set(name, { priority, devices });
  }
  return flowtables;
}

function textOf(data: Uint8Array): string {
  const end = data.indexOf(0);
  return Buffer.from(end < 0 ? data : data.subarray(0, end)).toString();
}
