// One world made ready to be compared: its places, what decides their packets and who has which labels.
import type { Resource } from '#api';
import type { Address, Prefix } from '#lib';
import { formatAddress, maskPrefix } from '#lib';
import type { Direction } from '../explanation.ts';
import { governorsOf, wildcardEndpoint } from '../host-governors.ts';
import { addSlices, compileProfiles, type ProfileRules } from '../world.ts';
import {
  type Host,
  type HostEndpointObject,
  readHostEndpoints,
  readHosts,
  readNetworkSets,
  readPods,
  readProfiles,
  type Workload,
} from '../world-endpoints.ts';
import { addressKey, type LabelledObject } from '../world-objects.ts';
import { PolicyTable } from '../world-policies.ts';
import { WorldError, type WorldProblem } from '../world-problem.ts';
import { resourcesByKind, type ResourcesByKind } from '../world-resources.ts';
import { type FailsafePort, type HostSettings, hostSettings } from '../world-settings.ts';
import { AppliedPolicies } from './applied-policies.ts';
import { ObjectIndex } from './object-index.ts';
import type { Failsafe, HostProgram, Judge, PodSettings } from './programs.ts';
import type { ProfileProgram, ProgramTable } from './programs.ts';
import type { AtomTable } from './set-atoms.ts';
import { SymbolicBook } from './symbolic-book.ts';
import type { RuleTable } from './symbolic-rule.ts';

/** What both worlds share, so that what is equal in them is the same. */
export interface Tables {
  readonly atoms: AtomTable;
  readonly rules: RuleTable;
  readonly programs: ProgramTable;
}

export type Judges = Readonly<Record<Direction, Judge>>;

/** A pod or a host. */
export interface SymbolicPlace {
  readonly kind: 'pod' | 'host';
  /** `shop/web` or `node:one`. */
  readonly name: string;
  /** The host that it is on or is. */
  readonly node: string | undefined;
  readonly addresses: readonly Address[];
  readonly judgesAt: (address: Address) => Judges;
}

/** What rules can select, with where it is: addresses for endpoints, nets for network sets. */
export interface LocatedObject {
  readonly object: LabelledObject;
  readonly addresses: readonly Address[];
  readonly nets: readonly Prefix[];
}

export interface SymbolicWorld {
  readonly places: ReadonlyMap<string, SymbolicPlace>;
  readonly objects: readonly LocatedObject[];
  /** Over `objects`. */
  readonly index: ObjectIndex;
  readonly book: SymbolicBook;
  readonly problems: readonly WorldProblem[];
  readonly resources: ResourcesByKind;
}

/** Reads a world. Throws WorldError as `buildWorld` does. */
export function readSymbolicWorld(resources: Iterable<Resource>, tables: Tables): SymbolicWorld {
  const table = resourcesByKind(resources);
  const problems: WorldProblem[] = [];
  const report = (problem: WorldProblem) => void problems.push(problem);
  const profiles = readProfiles(table);
  const hosts = readHosts(table, report);
  const { workloads } = readPods(table, hosts, profiles, report);
  const hostEndpoints = readHostEndpoints(table, profiles);
  const objects = [
    ...[...workloads.values(), ...hostEndpoints].map((object) => ({
      object,
      addresses: object.addresses,
      nets: [],
    })),
    ...readNetworkSets(table, profiles, report).map((object) => ({
      object,
      addresses: [],
      nets: object.nets,
    })),
  ];
  const book = new SymbolicBook(tables.atoms);
  addSlices(table, book);
  const { tiers } = new PolicyTable(table, book, report);
  const profileRules = compileProfiles(profiles, book, report);
  const fatal = problems.filter((problem) => problem.fatal);
  if (fatal.length > 0) throw new WorldError(fatal);
  const index = new ObjectIndex(objects.map(({ object }) => object));
  const applied = new AppliedPolicies(tiers, index, tables);
  const reader = new PlaceReader(
    { hosts, hostEndpoints, workloads, table },
    { applied, tables, profileRules },
  );
  return { places: reader.places(), objects, index, book, problems, resources: table };
}

interface Endpoints {
  readonly hosts: ReadonlyMap<string, Host>;
  readonly hostEndpoints: readonly HostEndpointObject[];
  readonly workloads: ReadonlyMap<string, Workload>;
  readonly table: ResourcesByKind;
}

interface Compiled {
  readonly applied: AppliedPolicies;
  readonly tables: Tables;
  readonly profileRules: ReadonlyMap<string, ProfileRules>;
}

interface NodeContext {
  readonly settings: PodSettings;
  readonly wildcard: HostEndpointObject | undefined;
  readonly main: HostEndpointObject | undefined;
}

class PlaceReader {
  readonly #endpoints: Endpoints;
  readonly #compiled: Compiled;
  readonly #nodes = new Map<string | undefined, NodeContext>();
  readonly #settings = new Map<string | undefined, HostSettings>();
  readonly #hostPrograms = new Map<string, HostProgram>();

  constructor(endpoints: Endpoints, compiled: Compiled) {
    this.#endpoints = endpoints;
    this.#compiled = compiled;
  }

  places(): Map<string, SymbolicPlace> {
    const places = new Map<string, SymbolicPlace>();
    for (const host of this.#endpoints.hosts.values()) {
      const place = this.#host(host);
      places.set(place.name, place);
    }
    let index = 0;
    for (const workload of this.#endpoints.workloads.values()) {
      places.set(workload.name, this.#pod(workload, index++));
    }
    return places;
  }

  #pod(workload: Workload, index: number): SymbolicPlace {
    const { name, node, addresses, profiles } = workload;
    const { settings, wildcard, main } = this.#node(node);
    const judge = (direction: Direction): Judge => {
      const { applied, tables } = this.#compiled;
      return tables.programs.judge({
        direction,
        kind: 'pod',
        tiers: applied.tiersOf(index, direction, 'normal'),
        profiles: this.#profiles(profiles, direction),
        ...(main ? { main: this.#program(main, direction) } : {}),
        ...(direction === 'egress' ? { settings } : {}),
        ...(direction === 'egress' && wildcard
          ? { wildcard: this.#program(wildcard, 'ingress') }
          : {}),
      });
    };
    const judges = { egress: judge('egress'), ingress: judge('ingress') };
    return { kind: 'pod', name, node, addresses, judgesAt: () => judges };
  }

  #host({ name, addresses }: Host): SymbolicPlace {
    const judges = new Map<string, Judges>();
    for (const address of addresses) {
      const main = governorsOf(this.#endpoints, name, address).taken;
      const judge = (direction: Direction) =>
        this.#compiled.tables.programs.judge({
          direction,
          kind: 'host',
          tiers: [],
          profiles: [],
          ...(main ? { main: this.#program(main, direction) } : {}),
        });
      judges.set(addressKey(address), { egress: judge('egress'), ingress: judge('ingress') });
    }
    const judgesAt = (address: Address): Judges => {
      const known = judges.get(addressKey(address));
      if (known) return known;
      throw new TypeError(
        `Cannot judge node ${name}: ${formatAddress(address)} is not its address`,
      );
    };
    return { kind: 'host', name: `node:${name}`, node: name, addresses, judgesAt };
  }

  #node(node: string | undefined): NodeContext {
    const known = this.#nodes.get(node);
    if (known) return known;
    const { endpointToHostAction, ...settings } = this.#settingsOf(node);
    const { allowVxlanFromWorkloads, allowIpipFromWorkloads, vxlanPort } = settings;
    const context = {
      settings: {
        dropToHost: endpointToHostAction === 'Drop',
        closedVxlanPort: allowVxlanFromWorkloads ? undefined : vxlanPort,
        ipipClosed: !allowIpipFromWorkloads,
      },
      wildcard: wildcardEndpoint(this.#endpoints, node),
      main: node === undefined ? undefined : governorsOf(this.#endpoints, node).taken,
    };
    this.#nodes.set(node, context);
    return context;
  }

  #settingsOf(node: string | undefined): HostSettings {
    const settings = this.#settings.get(node) ?? hostSettings(this.#endpoints.table, node);
    this.#settings.set(node, settings);
    return settings;
  }

  #program(endpoint: HostEndpointObject, direction: Direction): HostProgram {
    const key = `${direction} ${endpoint.name}`;
    const { applied, tables } = this.#compiled;
    const { workloads, hostEndpoints } = this.#endpoints;
    const index = workloads.size + hostEndpoints.indexOf(endpoint);
    const { failsafeInbound, failsafeOutbound } = this.#settingsOf(endpoint.node);
    const [failsafes, answers] =
      direction === 'ingress'
        ? [failsafeInbound, failsafeOutbound]
        : [failsafeOutbound, failsafeInbound];
    const program =
      this.#hostPrograms.get(key) ??
      tables.programs.host({
        failsafes: failsafes.map((failsafe) => this.#failsafe(failsafe)),
        answers: answers.map((failsafe) => this.#failsafe(failsafe)),
        untracked:
          endpoint.interfaceName === '*' ? [] : applied.tiersOf(index, direction, 'untracked'),
        preDnat: direction === 'ingress' ? applied.tiersOf(index, direction, 'preDnat') : [],
        forward: applied.tiersOf(index, direction, 'forward'),
        normal: applied.tiersOf(index, direction, 'normal'),
        profiles: this.#profiles(endpoint.profiles, direction),
      });
    this.#hostPrograms.set(key, program);
    return program;
  }

  #failsafe({ protocol, port, net }: FailsafePort): Failsafe {
    if (!net) return { protocol, port };
    return { protocol, port, net: this.#compiled.tables.rules.nets([maskPrefix(net)]) };
  }

  #profiles(names: readonly string[], direction: Direction): ProfileProgram[] {
    const { profileRules, tables } = this.#compiled;
    return names.map(
      (name) =>
        profileRules.get(name)?.[direction].map((rule) => tables.rules.add(rule)) ?? 'missing',
    );
  }
}
