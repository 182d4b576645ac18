// The agent's side of the thread that makes pods' interfaces: asks it, and starts it again should it die.
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { currentNamespace } from '#linux';
import { CniError } from './cni-error.ts';
import type {
  FromInterfaceThread,
  InterfaceCallName,
  InterfaceCalls,
  InterfaceThreadOptions,
  ToInterfaceThread,
} from './interface-messages.ts';
import type {
  EnsuredInterface,
  InterfaceDriver,
  InterfacePlace,
  PodInterface,
  Removal,
} from './pod-interface.ts';
import { CNI_CODE } from './protocol.ts';

export interface VethDriverOptions {
  /** Of the interface of a pod that comes now; absent: the smallest of the node's own interfaces. */
  readonly mtu?: (() => number) | undefined;
  /** Descriptor of the node's namespace; absent: the one this thread is in. */
  readonly namespace?: number | undefined;
  readonly log?: ((message: string) => void) | undefined;
}

interface Outstanding {
  readonly resolve: (result: InterfaceCalls[InterfaceCallName]['result']) => void;
  readonly reject: (error: CniError) => void;
}

const MTU_KEPT_MS = 5_000;
/** Of V8, in the thread: it holds next to nothing between two calls. */
const LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

/** Pods' interfaces as veth pairs. To be made, and closed, on the main thread. */
export class VethDriver implements InterfaceDriver {
  readonly #options: VethDriverOptions;
  readonly #namespace: number;
  readonly #outstanding = new Map<number, Outstanding>();
  #worker: Worker | undefined;
  #lastId = 0;
  #closing = false;
  #podMtu: { readonly value: number; readonly at: number } | undefined;

  constructor(options: VethDriverOptions = {}) {
    this.#options = options;
    this.#namespace = options.namespace ?? currentNamespace();
    this.#worker = this.#start();
  }

  ensure(desired: PodInterface): Promise<EnsuredInterface> {
    const mtu = this.#mtuNow();
    return this.#call('ensure', { desired, ...(mtu !== undefined && { mtu }) });
  }

  differences(desired: PodInterface): Promise<string[]> {
    return this.#call('differences', { desired });
  }

  /** The kernel takes 13 to 41 ms for one, or for many that go at once. */
  remove(place: InterfacePlace, isOwn: boolean): Promise<Removal> {
    return this.#call('remove', { place, isOwn });
  }

  /** Ends when all that was asked for is done. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#worker) {
      const ended = new Promise((resolve) => this.#worker?.once('exit', resolve));
      this.#worker.ref();
      this.#tell(this.#worker, { name: 'close' });
      await ended;
    }
    if (this.#options.namespace === undefined) closeSync(this.#namespace);
  }

  async #call<Name extends InterfaceCallName>(
    name: Name,
    argument: InterfaceCalls[Name]['argument'],
  ): Promise<InterfaceCalls[Name]['result']> {
    if (this.#closing) {
      throw new CniError(CNI_CODE.tryAgainLater, 'the agent is stopping; try again');
    }
    const worker = (this.#worker ??= this.#start());
    const id = ++this.#lastId;
    const { promise, resolve, reject } =
      Promise.withResolvers<InterfaceCalls[InterfaceCallName]['result']>();
    this.#outstanding.set(id, { resolve, reject });
    // The process may end while nobody waits.
    worker.ref();
    this.#tell(worker, { id, name, argument } as ToInterfaceThread);
    return promise as Promise<InterfaceCalls[Name]['result']>;
  }

  #start(): Worker {
    const workerData: InterfaceThreadOptions = { namespace: this.#namespace };
    const url = new URL('./interface-thread.ts', import.meta.url);
    const worker = new Worker(url, { workerData, resourceLimits: LIMITS });
    let reason = 'it ended by itself';
    worker.on('message', (message: FromInterfaceThread) => this.#onAnswer(worker, message));
    worker.on('error', (error) => (reason = String(error)));
    worker.on('exit', () => this.#onExit(reason));
    worker.unref();
    return worker;
  }

  #onAnswer(worker: Worker, message: FromInterfaceThread): void {
    const call = this.#outstanding.get(message.id);
    this.#outstanding.delete(message.id);
    if (this.#outstanding.size === 0 && !this.#closing) worker.unref();
    if ('result' in message) call?.resolve(message.result);
    else call?.reject(new CniError(message.fault.code, message.fault.message));
  }

  /** What it was about to do may be half done: ADD or DEL again mends that. */
  #onExit(reason: string): void {
    this.#worker = undefined;
    const lost = [...this.#outstanding.values()];
    this.#outstanding.clear();
    if (lost.length === 0 && this.#closing) return;
    const text = `the thread that makes interfaces ended (${reason})`;
    this.#options.log?.(`${text}; it is started again for the next pod`);
    for (const { reject } of lost) {
      reject(new CniError(CNI_CODE.tryAgainLater, `${text}; try again`));
    }
  }

  /** Of many pods that come at once the first looks. */
  #mtuNow(): number | undefined {
    const at = performance.now();
    const { mtu } = this.#options;
    if (mtu && (!this.#podMtu || at - this.#podMtu.at > MTU_KEPT_MS)) {
      this.#podMtu = { value: mtu(), at };
    }
    return this.#podMtu?.value;
  }

  #tell(worker: Worker, message: ToInterfaceThread): void {
    worker.postMessage(message);
  }
}
