// All captures of a node: begins and ends them as the plan says, shares out denied packets, counts.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BroadcastChannel } from 'node:worker_threads';
import {
  LOG_COPY_CHANNEL,
  type LogCopyDelivery,
  type LogCopyRequest,
  PACKET_HANDOVER_MS,
  Poller,
  RouteSocket,
} from '#linux';
import { type CaptureCount, type PodPlan } from './capture-messages.ts';
import { removeCaptureFiles } from './capture-folder.ts';
import { PacketVerdicts } from './packet-verdicts.ts';
import { PodCapture, VERDICT_WAIT_MS } from './pod-capture.ts';

export interface CapturerOptions {
  readonly namespace?: number | undefined;
  readonly onCounts: (counts: readonly CaptureCount[]) => void;
}

const TICK_MS = 250;
/** Logged packets on their way to this thread. */
const LOGGED_MAX = 4096;
/** When all packets that were taken are read, and what was logged of them too. */
const ENDING_MS = PACKET_HANDOVER_MS + VERDICT_WAIT_MS;

interface Sum {
  packets: number;
  dropped: number;
  open: number;
}

export class Capturer {
  readonly #options: CapturerOptions;
  readonly #pods = new Map<string, PodCapture>();
  /** Those that take no more packets, and when they have read all that they took. */
  readonly #ending = new Map<PodCapture, number>();
  #plan: ReadonlyMap<string, PodPlan> = new Map();
  /** What captures of pods that ended have counted, by capture. */
  readonly #ended = new Map<string, Sum>();
  readonly #poller = new Poller();
  readonly #channel = new BroadcastChannel(LOG_COPY_CHANNEL);
  readonly #timer: NodeJS.Timeout;
  #routes: RouteSocket | undefined;
  /** Pods whose denied packets are wanted, by the index of their interface. */
  #byIndex = new Map<number, PodCapture[]>();
  readonly #verdicts = new PacketVerdicts();
  #asked = 0;
  /** Whether the reader of the log has answered. */
  #hasLog = false;
  #told = '';

  constructor(options: CapturerOptions) {
    this.#options = options;
    this.#channel.onmessage = (event: { readonly data: unknown }) => {
      const message = event.data as LogCopyDelivery | LogCopyRequest;
      if (message.type === 'copies') this.#onLogged(message);
    };
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** What is not in the plan ends; what changed begins anew, in new files. */
  setPlan(plans: readonly PodPlan[]): void {
    this.#plan = new Map(plans.map((plan) => [JSON.stringify(plan), plan]));
    for (const [key, pod] of this.#pods) {
      if (this.#plan.has(key)) continue;
      pod.end();
      this.#ending.set(pod, performance.now() + ENDING_MS);
      this.#pods.delete(key);
    }
    this.#tick();
  }

  /** Removes the files of a folder; what captures into it goes on with new ones. Returns what went wrong. */
  remove(directory: string): string | undefined {
    try {
      for (const pod of [...this.#pods.values(), ...this.#ending.keys()]) {
        if (pod.plan.directory === directory) pod.closeFile();
      }
      removeCaptureFiles(directory);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Ends all, and resolves when what they took is in the files. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#ask(0);
    for (const pod of this.#pods.values()) pod.end();
    await sleep(ENDING_MS);
    for (const pod of [...this.#pods.values(), ...this.#ending.keys()]) pod.close();
    this.#tell();
    this.#poller.close();
    this.#channel.close();
    this.#routes?.close();
  }

  #tick(): void {
    this.#follow();
    const now = Date.now();
    for (const pod of this.#pods.values()) pod.onTime(now);
    this.#verdicts.onTime(now);
    this.#followLog();
    this.#tell();
  }

  /** Closes what has ended, and begins what can: no two write the same files. */
  #follow(): void {
    const now = performance.now();
    for (const [pod, closeAt] of this.#ending) {
      if (now < closeAt) continue;
      pod.close();
      this.#addUp(pod);
      this.#ending.delete(pod);
    }
    const pathOf = ({ directory, stem }: PodPlan): string => join(directory, stem);
    const taken = new Set([...this.#ending.keys()].map((pod) => pathOf(pod.plan)));
    const { namespace } = this.#options;
    const onSocket = (fd: number, read: () => void): void => this.#poller.onReadable(fd, read);
    for (const [key, plan] of this.#plan) {
      if (this.#pods.has(key) || taken.has(pathOf(plan))) continue;
      this.#pods.set(key, new PodCapture({ plan, onSocket, namespace, verdicts: this.#verdicts }));
    }
  }

  /** Asks for logged packets while somebody wants them, and finds the interfaces that denied ones are of. */
  #followLog(): void {
    const pods = [...this.#pods.values(), ...this.#ending.keys()];
    this.#byIndex = new Map();
    if (pods.length === 0) {
      if (this.#asked > 0) this.#ask(0);
      this.#hasLog = false;
      return;
    }
    for (const pod of this.#pods.values()) if (pod.plan.deniedOnly) this.#findInterface(pod);
    // Again and again: who reads the log may have begun anew.
    this.#ask(LOGGED_MAX);
  }

  #findInterface(pod: PodCapture): void {
    const { namespace } = this.#options;
    this.#routes ??= RouteSocket.open(namespace === undefined ? {} : { namespace });
    const index = this.#routes.link(pod.plan.interfaceName)?.index;
    if (index !== undefined) this.#byIndex.set(index, [...(this.#byIndex.get(index) ?? []), pod]);
  }

  /** Denied packets alone, whole, for who captures these; the beginning of every one for the others' verdicts. */
  #ask(packets: number): void {
    this.#asked = packets;
    const plans = [...this.#pods.values(), ...this.#ending.keys()].map(({ plan }) => plan);
    const allowed = plans.some(({ deniedOnly }) => !deniedOnly);
    const whole = plans.some(({ deniedOnly }) => deniedOnly);
    const request: LogCopyRequest = { type: 'take', packets, allowed, whole };
    this.#channel.postMessage(request);
  }

  #onLogged({ packets, skipped, unseen }: LogCopyDelivery): void {
    const now = Date.now();
    this.#hasLog = true;
    this.#verdicts.onLogged(packets, now);
    if (skipped + unseen > 0) this.#verdicts.onUnseen();
    for (const packet of packets) {
      const ends = new Set([packet.inInterface, packet.outInterface]);
      for (const index of ends) {
        if (index === undefined) continue;
        for (const pod of this.#byIndex.get(index) ?? []) pod.onDenied(packet, index, now);
      }
    }
    if (skipped > 0) for (const pod of this.#pods.values()) pod.onSkipped(skipped);
    if (this.#asked > 0) this.#ask(LOGGED_MAX);
  }

  #addUp({ plan, packets, dropped }: PodCapture): void {
    const sum = this.#ended.get(plan.capture) ?? { packets: 0, dropped: 0, open: 0 };
    sum.packets += packets;
    sum.dropped += dropped;
    this.#ended.set(plan.capture, sum);
  }

  #tell(): void {
    const sums = new Map<string, Sum & { errors: string[] }>();
    for (const [capture, sum] of this.#ended) sums.set(capture, { ...sum, errors: [] });
    for (const pod of [...this.#pods.values(), ...this.#ending.keys()]) {
      const { plan, packets, dropped, error } = pod;
      const sum = sums.get(plan.capture) ?? { packets: 0, dropped: 0, open: 0, errors: [] };
      sum.packets += packets;
      sum.dropped += dropped;
      if (pod.isOpen(this.#hasLog)) sum.open++;
      if (error !== undefined) sum.errors.push(`${plan.pod}: ${error}`);
      sums.set(plan.capture, sum);
    }
    const counts = [...sums].map(([capture, sum]) => ({ capture, ...sum }));
    const text = JSON.stringify(counts);
    if (text === this.#told) return;
    this.#told = text;
    this.#options.onCounts(counts);
  }
}
