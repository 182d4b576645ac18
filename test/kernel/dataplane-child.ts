// A process that makes a router enforce a state and, where told so, kills itself before one of its changes.
import { once } from 'node:events';
import { Dataplane } from '#dataplane';
import { NftablesSocket, openNamespace, RouteSocket, sysctlsOfNamespace } from '#linux';
import { type FaultState, faultState } from './dataplane-fault-states.ts';

/** Argument of the process. */
export interface ChildTask {
  readonly namespace: string;
  readonly state: FaultState;
  /** Index of the change before which the process dies; absent: it lives, says what it did, and waits. */
  readonly dieBefore?: number;
  /** It does nothing before its input says anything. */
  readonly waits?: boolean;
}

const CHANGES = /^(commit|replace|delete|create|set|add|write)/;

/** The same object, whose changing calls are told beforehand. */
function watched<T extends object>(object: T, before: () => void): T {
  return new Proxy(object, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        const isNothing = Array.isArray(args[0]) && args[0].length === 0;
        if (CHANGES.test(String(name)) && !isNothing) before();
        return Reflect.apply(value, target, args);
      };
    },
  });
}

const task: ChildTask = JSON.parse(process.argv[2] ?? '{}');
if (task.waits === true) await once(process.stdin, 'data');
const namespace = openNamespace(task.namespace);
let changes = 0;
const before = () => {
  if (changes++ === task.dieBefore) process.kill(process.pid, 'SIGKILL');
};
const dataplane = new Dataplane({
  nftables: watched(NftablesSocket.open({ namespace }), before),
  routes: watched(RouteSocket.open({ namespace }), before),
  sysctls: watched(sysctlsOfNamespace(namespace), before),
});
const { errors, writes } = dataplane.apply(faultState(task.state));
process.stdout.write(`${JSON.stringify({ errors, writes, changes })}\n`);
// Whoever started it ends it.
if (task.dieBefore === undefined) setInterval(() => {}, 60_000);
