// The thread that makes and removes pods' interfaces: it waits for the kernel, so that the agent's own need not.
import { parentPort, workerData } from 'node:worker_threads';
import { SystemError } from '#linux';
import { CniError } from './cni-error.ts';
import type {
  FromInterfaceThread,
  InterfaceCall,
  InterfaceCalls,
  InterfaceThreadOptions,
  InterfaceCallName,
  ToInterfaceThread,
} from './interface-messages.ts';
import { CNI_CODE } from './protocol.ts';
import { VethPairs } from './veth-pairs.ts';

type Result = InterfaceCalls[InterfaceCallName]['result'];

function run({ namespace }: InterfaceThreadOptions): void {
  const port = parentPort;
  if (!port) throw new Error('the interface thread runs as a worker only');
  const pairs = new VethPairs(namespace);
  const carryOut = (call: InterfaceCall): Result | Promise<Result> => {
    switch (call.name) {
      case 'ensure':
        return pairs.ensure(call.argument.desired, call.argument.mtu);
      case 'differences':
        return pairs.differences(call.argument.desired);
      case 'remove':
        return pairs.remove(call.argument.place, call.argument.isOwn);
      default:
        return call satisfies never;
    }
  };
  const tell = (message: FromInterfaceThread) => port.postMessage(message);
  const fail = (id: number, error: unknown) => tell({ id, fault: faultOf(error) });
  port.on('message', (message: ToInterfaceThread) => {
    if (message.name === 'close') {
      void pairs.close().finally(() => port.close());
      return;
    }
    const { id } = message;
    try {
      const result = carryOut(message);
      if (result instanceof Promise) {
        result.then(
          (late) => tell({ id, result: late }),
          (error: unknown) => fail(id, error),
        );
      } else tell({ id, result });
    } catch (error) {
      fail(id, error);
    }
  });
}

function faultOf(error: unknown): { code: number; message: string } {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof CniError) return { code: error.code, message };
  const isRefusal = error instanceof SystemError;
  return { code: isRefusal ? CNI_CODE.kernelRefused : CNI_CODE.internal, message };
}

run(workerData as InterfaceThreadOptions);
