// The part of `tortie node` that follows the agent's parameters: logs, health, intervals, files for others.
import type { Logger } from 'pino';
import {
  type ApplyLoop,
  EndpointStatusFiles,
  HealthReport,
  HealthServer,
  type HealthTimeouts,
  MtuFile,
  RefreshTimers,
  WATCHED,
} from '#agent';
import type { ParameterValue } from '#api';
import type { DataplaneState } from '#calc';
import { type Dataplane, workloadMtu } from '#dataplane';
import { isObject } from '#lib';
import { type RouteSocket, setAnswerTimeout } from '#linux';

type Values = ReadonlyMap<string, ParameterValue>;

export interface NodeSettingsOptions {
  readonly dataplane: Dataplane;
  readonly routes: RouteSocket;
  readonly loop: () => ApplyLoop;
  readonly log: Logger;
  /** The level that a flag has set, which no parameter changes. */
  readonly logLevel: string | undefined;
  readonly mtuFile: string;
}

const TURN_MS = 1_000;
const LEVELS: ReadonlyMap<string, string> = new Map([
  ['TRACE', 'trace'],
  ['DEBUG', 'debug'],
  ['INFO', 'info'],
  ['WARNING', 'warn'],
  ['ERROR', 'error'],
  ['FATAL', 'fatal'],
]);

export class NodeSettings {
  readonly health = new HealthReport();
  readonly #options: NodeSettingsOptions;
  readonly #files: EndpointStatusFiles;
  readonly #mtu: MtuFile;
  readonly #timers: RefreshTimers;
  readonly #turn: NodeJS.Timeout;
  #values: Values = new Map();
  #state: DataplaneState | undefined;
  #server: HealthServer | undefined;
  #served = '';
  #work: Promise<void> = Promise.resolve();

  constructor(options: NodeSettingsOptions) {
    this.#options = options;
    const { dataplane, log, loop, mtuFile } = options;
    const warn = (message: string) => log.warn(message);
    this.#files = new EndpointStatusFiles({
      isEnforced: (id) => dataplane.isEnforced(id),
      log: warn,
    });
    this.#mtu = new MtuFile(mtuFile, warn);
    this.#timers = new RefreshTimers((part) => {
      if (part === 'announcements') {
        dataplane.announceAll();
        return;
      }
      // The host's interfaces may have another MTU now.
      if (part === 'host') this.#state = undefined;
      loop().repair([part]);
    });
    this.#turn = setInterval(() => this.#say(), TURN_MS);
    this.#turn.unref();
  }

  /** Whether the node may serve pods, beyond what the loop says of policy. */
  get isReady(): boolean {
    return this.#values.get('RequireMTUFile') !== true || this.#mtu.isThere;
  }

  onApplied(state: DataplaneState, values: Values): void {
    if (values !== this.#values) this.#onParameters(values);
    this.#files.onApplied(state, textOf(values, 'EndpointStatusPathPrefix'));
    const before = this.#state;
    const parts = ['tunnels', 'ipip', 'settings'] as const;
    if (parts.some((part) => before?.[part] !== state[part])) {
      this.#mtu.write(workloadMtu(state, this.#options.routes.links()));
    }
    this.#state = state;
    this.#say();
  }

  async stop(): Promise<void> {
    clearInterval(this.#turn);
    this.#timers.stop();
    await this.#work;
    await this.#server?.close();
  }

  #say(): void {
    this.health.turn();
    this.health.setReady(this.#options.loop().ready && this.isReady);
  }

  #onParameters(values: Values): void {
    this.#values = values;
    const ms = (name: string): number => Number(values.get(name) ?? 0);
    const { log, logLevel } = this.#options;
    log.level = logLevel ?? LEVELS.get(textOf(values, 'LogSeverityScreen')) ?? 'info';
    setAnswerTimeout(ms('NetlinkTimeoutSecs'));
    this.#timers.set({
      table: shortest(ms('NftablesRefreshInterval'), ms('IpsetsRefreshInterval')),
      routes: ms('RouteRefreshInterval'),
      host: ms('InterfaceRefreshInterval'),
      announcements: ms('LocalSubnetL2ReachabilityRefreshInterval'),
    });
    const timeouts = timeoutsOf(values);
    const isServed = values.get('HealthEnabled') === true;
    const place = { host: textOf(values, 'HealthHost'), port: ms('HealthPort') };
    const served = isServed ? JSON.stringify(place) : '';
    this.#work = this.#work.then(async () => {
      if (served !== this.#served) {
        this.#served = served;
        await this.#server?.close();
        this.#server = undefined;
        if (isServed) this.#server = await this.#listen(place, timeouts);
      } else this.#server?.setTimeouts(timeouts);
    });
  }

  async #listen(
    place: { readonly host: string; readonly port: number },
    timeouts: HealthTimeouts,
  ): Promise<HealthServer | undefined> {
    const { log } = this.#options;
    try {
      const server = await HealthServer.listen(place, this.health, timeouts);
      log.info(`health is served at ${place.host}:${server.port}`);
      return server;
    } catch (error) {
      log.error(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }
}

function textOf(values: Values, name: string): string {
  const value = values.get(name);
  return typeof value === 'string' ? value : '';
}

/** Of two intervals the shorter, 0 being never: one look at the table is one at its sets. */
function shortest(a: number, b: number): number {
  const set = [a, b].filter((ms) => ms > 0);
  return set.length === 0 ? 0 : Math.min(...set);
}

function timeoutsOf(values: Values): HealthTimeouts {
  const given = values.get('HealthTimeoutOverrides');
  const usual: HealthTimeouts = {
    InternalDataplaneMainLoop: Number(values.get('DataplaneWatchdogTimeout') ?? 0),
    CalculationGraph: 30_000,
  };
  const own = isObject(given)
    ? WATCHED.flatMap((part) => {
        const ms = given[part];
        return typeof ms === 'number' ? [[part, ms] as const] : [];
      })
    : [];
  return { ...usual, ...Object.fromEntries(own) };
}
