// Captures the packets of one pod into its ring of files: from its interface, or those that the policy log has.
import { arch, release } from 'node:os';
import { type Frame, type LogPacket, PacketSocket, parsePacket } from '#linux';
import type { PodPlan } from './capture-messages.ts';
import { deniedComment } from './verdict-comment.ts';
import type { PacketVerdicts } from './packet-verdicts.ts';
import { filterProgram, wantsPacket } from './packet-filter.ts';
import {
  type CapturedPacket,
  interfaceDescription,
  interfaceStatistics,
  LINK_TYPE,
  packetBlock,
  sectionHeader,
} from './pcapng.ts';
import { RingFile, RingWriteError } from './ring-file.ts';

const APPLICATION = 'tortie';

export interface PodCaptureOptions {
  readonly plan: PodPlan;
  /** Told of each socket that has to be waited on. */
  readonly onSocket: (fd: number, read: () => void) => void;
  /** The node's network namespace; this thread's where absent. */
  readonly namespace?: number | undefined;
  readonly verdicts: PacketVerdicts;
}

/** How long packets wait for what the policy log says of them, and how many do. */
export const VERDICT_WAIT_MS = 500;
const HELD_MAX = 20_000;
/** Before the IP header. */
const ETHERNET_BYTES = 14;

export class PodCapture {
  readonly plan: PodPlan;
  readonly #options: PodCaptureOptions;
  readonly #file: RingFile;
  #socket: PacketSocket | undefined;
  /** Read, and not written yet. */
  #held: { readonly frames: readonly Frame[]; readonly atMs: number }[] = [];
  #packets = 0;
  /** Lost before this socket, and by the disk. */
  #dropped = 0;
  #error: string | undefined;

  constructor(options: PodCaptureOptions) {
    const { plan } = options;
    this.plan = plan;
    this.#options = options;
    const described = {
      linkType: plan.deniedOnly ? LINK_TYPE.RAW_IP : LINK_TYPE.ETHERNET,
      name: plan.interfaceName,
      description: plan.pod,
    };
    this.#file = new RingFile({
      directory: plan.directory,
      stem: plan.stem,
      limits: plan.limits,
      header: () =>
        Buffer.concat([
          sectionHeader(APPLICATION, `Linux ${release()} ${arch()}`),
          interfaceDescription(described),
        ]),
      trailer: () =>
        interfaceStatistics(0, {
          timestampNs: BigInt(Date.now()) * 1_000_000n,
          received: this.packets + this.dropped,
          dropped: this.dropped,
        }),
    });
  }

  /** In files by now, or in files that made room for others. */
  get packets(): number {
    return this.#packets;
  }

  get dropped(): number {
    return this.#dropped + (this.#socket?.lost ?? 0);
  }

  /** Whether its packets are read; `hasLog` says it of denied ones. */
  isOpen(hasLog: boolean): boolean {
    return this.plan.deniedOnly ? hasLog : this.#socket !== undefined;
  }

  /** What is wrong now; undefined where nothing is. */
  get error(): string | undefined {
    return this.#error;
  }

  /** Every so often: follows the interface, and replaces files that are old. Never throws. */
  onTime(nowMs: number): void {
    try {
      this.#release(nowMs - VERDICT_WAIT_MS);
      this.#file.onTime(nowMs);
      if (this.plan.deniedOnly) return;
      if (this.#socket && !this.#socket.isCurrent()) this.#closeSocket();
      this.#socket ??= this.#open();
    } catch (error) {
      this.#error = messageOf(error);
    }
  }

  /** A denied packet of this pod's interface, which has this index. */
  onDenied(packet: LogPacket, index: number, nowMs: number): void {
    const comment = deniedComment(packet.prefix);
    if (!this.plan.deniedOnly || comment === undefined) return;
    if (!wantsPacket(this.plan.filters, parsePacket(packet.payload))) return;
    const micros = Math.round((packet.timestampMs ?? nowMs) * 1000);
    this.#write(
      [
        {
          timestampNs: BigInt(micros) * 1000n,
          data: packet.payload,
          length: packet.length,
          direction: packet.inInterface === index ? 'inbound' : 'outbound',
          comment,
        },
      ],
      nowMs,
    );
  }

  /** Packets that were denied, perhaps of this pod, and could not be had. */
  onSkipped(count: number): void {
    if (this.plan.deniedOnly) this.#dropped += count;
  }

  /** Reads what is there, closes the file as it is, and begins a new one with the next packet. */
  closeFile(): void {
    this.#read();
    this.#release();
    this.#file.close();
  }

  /** Takes no more packets; those that it took are read by the time it is closed, a little later. */
  end(): void {
    try {
      this.#socket?.refuse();
    } catch (error) {
      this.#error = messageOf(error);
    }
  }

  close(): void {
    this.#closeSocket();
    this.#release();
    this.#file.close();
  }

  #open(): PacketSocket | undefined {
    const { plan, namespace, onSocket } = this.#options;
    const socket = PacketSocket.open({
      interfaceName: plan.interfaceName,
      filter: filterProgram(plan.filters),
      ...(namespace === undefined ? {} : { namespace }),
    });
    this.#error = undefined;
    if (socket) onSocket(socket.fd, () => this.#read());
    return socket;
  }

  #closeSocket(): void {
    if (!this.#socket) return;
    this.#read();
    this.#dropped += this.#socket.lost;
    this.#socket.close();
    this.#socket = undefined;
  }

  #read(): void {
    if (!this.#socket) return;
    const frames = this.#socket.read();
    const nowMs = Date.now();
    if (frames.length > 0) this.#held.push({ frames, atMs: nowMs });
    this.#release(nowMs - VERDICT_WAIT_MS);
  }

  /** Writes what was read until then, and what would be too much to keep. */
  #release(untilMs = Infinity): void {
    let count = this.#held.reduce((sum, { frames }) => sum + frames.length, 0);
    const isDue = ({ atMs }: { readonly atMs: number }): boolean => atMs <= untilMs;
    for (
      let next = this.#held[0];
      next && (isDue(next) || count > HELD_MAX);
      next = this.#held[0]
    ) {
      this.#held.shift();
      count -= next.frames.length;
      this.#write(
        next.frames.map((frame) => packetOf(frame, this.#options.verdicts)),
        Date.now(),
      );
    }
  }

  #write(packets: readonly CapturedPacket[], nowMs: number): void {
    const blocks = packets.map((packet) => packetBlock(0, packet));
    let written = 0;
    try {
      written = this.#file.write(blocks, nowMs);
      this.#error = undefined;
    } catch (error) {
      if (error instanceof RingWriteError) written = error.written;
      this.#error = messageOf(error);
    }
    this.#packets += written;
    this.#dropped += blocks.length - written;
  }
}

function packetOf(
  { timestampNs, data, length, isOutgoing }: Frame,
  verdicts: PacketVerdicts,
): CapturedPacket {
  return {
    timestampNs,
    data,
    length,
    direction: isOutgoing ? 'outbound' : 'inbound',
    comment: verdicts.commentOf(data.subarray(ETHERNET_BYTES)),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
