// Hears that a virtual machine has arrived: on its interface it tells everybody its address (spec 22: GARP, RARP).
import { type BpfInstruction, PacketSocket, Poller } from '#linux';

const ARP = 0x0806;
const REVERSE_ARP = 0x8035;
const RING_BYTES = 256 * 1024;
/** Offsets in an Ethernet frame, and in the ARP message of IPv4 in it (RFC 826). */
const TYPE = 12;
const SENDER = 28;
const TARGET = 38;
const END = 42;

/** Classic BPF: frames of the two types, whole. */
const FILTER: readonly BpfInstruction[] = [
  { code: 0x28, jumpTrue: 0, jumpFalse: 0, k: TYPE },
  { code: 0x15, jumpTrue: 1, jumpFalse: 0, k: ARP },
  { code: 0x15, jumpTrue: 0, jumpFalse: 1, k: REVERSE_ARP },
  { code: 0x06, jumpTrue: 0, jumpFalse: 0, k: 0xffff },
  { code: 0x06, jumpTrue: 0, jumpFalse: 0, k: 0 },
];

export interface ArrivalListener {
  close(): void;
}

/** Undefined while there is no such interface. `onArrival` is called once. Throws SystemError. Needs CAP_NET_RAW. */
export function listenForArrival(
  interfaceName: string,
  onArrival: () => void,
  namespace?: number,
): ArrivalListener | undefined {
  const where = namespace === undefined ? {} : { namespace };
  const socket = PacketSocket.open({
    ...where,
    interfaceName,
    filter: FILTER,
    ringBytes: RING_BYTES,
  });
  if (!socket) return undefined;
  const poller = new Poller();
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    poller.close();
    socket.close();
  };
  poller.onReadable(socket.fd, () => {
    const frames = socket.read();
    if (!frames.some(({ isOutgoing, data }) => !isOutgoing && announces(data))) return;
    close();
    onArrival();
  });
  return { close };
}

/** Whether a frame says who has an address: RARP, or ARP that asks for the sender's own. */
export function announces(frame: Uint8Array): boolean {
  const type = ((frame[TYPE] ?? 0) << 8) | (frame[TYPE + 1] ?? 0);
  if (type === REVERSE_ARP) return true;
  if (type !== ARP || frame.length < END) return false;
  return [0, 1, 2, 3].every((index) => frame[SENDER + index] === frame[TARGET + index]);
}
