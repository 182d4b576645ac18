// 500 endpoints and 10,000 policies on one host: from nothing, after changes, after a restart (needs root).
import { execFileSync } from 'node:child_process';
import type {
  DataplanePolicy,
  DataplaneRule,
  DataplaneState,
  IpSet,
  LocalEndpoint,
} from '#calc/dataplane-update';
import { BARE_STATE, policyKey } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import {
  createNamespace,
  deleteNamespace,
  NftablesSocket,
  openNamespace,
  RouteSocket,
  sysctlsOfNamespace,
} from '#linux';
import { ALLOW_ALL, policy, rule, stateOf, tierOf } from '../test/kernel/dataplane-router.ts';
import { printFigure, printMachine } from './measurement.ts';
import { withScratch } from './scratch.ts';

const ENDPOINTS = Number(process.env['PODS'] ?? 500);
const POLICIES = Number(process.env['POLICIES'] ?? 10_000);
const APPS = 50;
/** The application that gets one pod more, which some policies let in. */
const GROWING = 7;
const TCP = 6;

/** What a process measured: milliseconds, and of these on the CPU; MiB of memory. */
interface Measured {
  readonly name: string;
  readonly wall: number;
  readonly cpu: number;
  readonly writes: number;
  readonly rss: number;
}

const any = { ipSets: [], notIpSets: [] };
const setId = (app: number): string => `app-${app % APPS}`;

/**
 * Of an application's policies, some let another application in at some ports, some at any, some a network. No two let
 * in the same at the same port, so that each has something to decide.
 */
function rulesOf(index: number): DataplaneRule[] {
  const [app, turn] = [index % APPS, Math.trunc(index / APPS)];
  const source = { ipSets: [setId(app + turn)], notIpSets: [] };
  const port = 8000 + (turn % 40);
  const to = { ...any, ports: [[port, port] as const] };
  if (turn % 10 === 0) {
    const nets = [`10.${100 + (turn % 100)}.0.0/16`];
    return [rule('Allow', { source: { ...any, nets } })];
  }
  if (turn % 50 === 5) return [rule('Allow', { source })];
  return [
    rule('Allow', { protocol: TCP, source, destination: to }),
    rule('Allow', { index: 1, protocol: 17, destination: to }),
  ];
}

function stateWith(
  change: { readonly member?: string; readonly policy?: number } = {},
): DataplaneState {
  const policies = Array.from({ length: POLICIES }, (_, index): DataplanePolicy => {
    const rules = change.policy === index ? [rule('Deny', { protocol: TCP })] : rulesOf(index);
    return policy(`policy-${index}`, { ingress: rules, egress: [rule('Allow')] });
  });
  const tiers = Array.from({ length: APPS }, (_, app) =>
    tierOf(...policies.filter((__, index) => index % APPS === app)),
  );
  const addressOf = (index: number) => `10.66.${index >> 8}.${index & 255}/32`;
  const sets = Array.from({ length: APPS }, (_, app): IpSet => {
    const members = new Set<string>();
    for (let index = app; index < 4 * ENDPOINTS; index += APPS) members.add(addressOf(index));
    if (app === GROWING && change.member !== undefined) members.add(change.member);
    return { id: setId(app), type: 'net', members };
  });
  const endpoints = Array.from({ length: ENDPOINTS + 1 }, (_, index): LocalEndpoint => {
    const tier = tiers[index % APPS] ?? tierOf();
    return {
      id: `default/pod-${index}`,
      interfaceName: `cali${String(index).padStart(11, '0')}`,
      addresses: [addressOf(index)],
      allowedSources: [],
      floatingAddresses: [],
      ingress: [tier],
      egress: [tier],
      profiles: [policyKey(ALLOW_ALL.id)],
    };
  });
  // There are no interfaces here for routes to lead to.
  const settings = { ...BARE_STATE.settings, routeSync: false };
  const ipSets = new Map(sets.map((set) => [set.id, set]));
  return stateOf(endpoints, policies, { ipSets, settings });
}

/** The state without its last endpoint. */
function withoutLast(state: DataplaneState): DataplaneState {
  return { ...state, endpoints: new Map([...state.endpoints].slice(0, ENDPOINTS)) };
}

/** The former state with what changed, all else the same objects, as calculation gives it. */
function changed(before: DataplaneState, after: DataplaneState, which: 'member' | 'policy') {
  const key = 'NetworkPolicy/default/policy-77';
  const set = after.ipSets.get(setId(GROWING));
  const one = after.policies.get(key);
  if (!set || !one) throw new Error('the changed set and policy are there');
  return which === 'member'
    ? { ...before, ipSets: new Map([...before.ipSets, [set.id, set]]) }
    : { ...before, policies: new Map([...before.policies, [key, one]]) };
}

async function work(namespacePath: string, isRestart: boolean): Promise<Measured[]> {
  const namespace = openNamespace(namespacePath);
  const dataplane = new Dataplane({
    nftables: NftablesSocket.open({ namespace }),
    routes: RouteSocket.open({ namespace }),
    sysctls: sysctlsOfNamespace(namespace),
  });
  const measured: Measured[] = [];
  const apply = (name: string, state: DataplaneState) => {
    const [start, cpu] = [performance.now(), process.cpuUsage()];
    const { errors, writes } = dataplane.apply(state);
    if (errors.length > 0) throw new Error(JSON.stringify(errors[0]));
    const { user, system } = process.cpuUsage(cpu);
    const wall = performance.now() - start;
    const rss = process.memoryUsage().rss / 2 ** 20;
    measured.push({ name, wall, cpu: (user + system) / 1000, writes, rss });
  };
  if (!isRestart) apply('an empty host', stateOf([], []));
  const full = stateWith();
  const state = withoutLast(full);
  apply(isRestart ? 'restart, all read back' : 'from nothing', state);
  apply('the same again', { ...state });
  if (!isRestart) {
    apply('one endpoint more', { ...state, endpoints: full.endpoints });
    apply('that endpoint less', { ...state });
    apply('one member more', changed(state, stateWith({ member: '192.0.2.1/32' }), 'member'));
    apply('that member less', { ...state });
    apply('one policy changed', changed(state, stateWith({ policy: 77 }), 'policy'));
    apply('that policy back', { ...state });
  }
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const holds = watchHolds();
  const counters = await dataplane.readRuleCountersInSlices();
  const held = holds.stop();
  const { user, system } = process.cpuUsage(cpu);
  const spent = { cpu: (user + system) / 1_000, writes: 0, rss: 0 };
  const wall = performance.now() - start;
  measured.push({ name: `${counters.length} counters read in slices`, wall, ...spent });
  measured.push({ name: '  the thread was held at most', wall: held, ...spent, cpu: held });
  return measured;
}

/** For how long at most this thread did nothing else: milliseconds of its own CPU time, for others use the CPU too. */
function watchHolds(): { stop: () => number } {
  const spent = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  };
  let [last, most, isOn] = [spent(), 0, true];
  const look = () => {
    const now = spent();
    most = Math.max(most, now - last);
    last = now;
    if (isOn) setImmediate(look);
  };
  setImmediate(look);
  return {
    stop: () => {
      isOn = false;
      return most;
    },
  };
}

function inOwnProcess(path: string, which: 'first' | 'restart'): Measured[] {
  const argv = [import.meta.filename, path, which];
  return JSON.parse(execFileSync(process.execPath, argv, { encoding: 'utf8' })) as Measured[];
}

const [path, which] = process.argv.slice(2);
if (path !== undefined) {
  process.stdout.write(JSON.stringify(await work(path, which === 'restart')));
} else {
  await withScratch(async (scratch) => {
    printMachine();
    const namespace = `/run/netns/tortie-b-${process.pid}-scale`;
    createNamespace(namespace);
    scratch.later(() => deleteNamespace(namespace));
    process.stdout.write(`${ENDPOINTS} endpoints, ${POLICIES} policies\n`);
    for (const turn of ['first', 'restart'] as const) {
      for (const { name, wall, cpu, writes, rss } of inOwnProcess(namespace, turn)) {
        printFigure(`${name} (${writes} writes, ${cpu.toFixed(0)} ms on the CPU)`, wall, 'ms');
        if (rss > 0) printFigure(`  memory after it`, rss, 'MiB');
      }
    }
  });
}
