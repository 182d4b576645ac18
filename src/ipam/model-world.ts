// For the model test: nodes, pods and a cluster that go wrong at random, and a plain map of who uses what.
import assert from 'node:assert/strict';
import type { IPAMBlock, Resource } from '#api';
import { ConnectionError } from '#datastore/client';
import { addressesOf, allocationsIn } from './block.ts';
import { BlockAllocator, IpamError } from './block-allocator.ts';
import { Collector } from './collector.ts';
import { Inventory } from './inventory.ts';
import { checkAgreement, draws } from './model-check.ts';
import { configuration, pool, StoreContents, StoreLink } from './store-fixture.ts';
import { tunnelHandle } from './tunnel-addresses.ts';

export interface Pod {
  readonly name: string;
  readonly uid: number;
  readonly node: string;
  sandbox: number;
  state: 'adding' | 'running' | 'leaving' | 'failed';
  addresses: readonly string[];
  /** It was deleted while an ADD was under way. */
  isUnwanted: boolean;
}

interface Agent {
  readonly name: string;
  allocator: BlockAllocator;
  link: StoreLink;
  inventory: Inventory | undefined;
  /** Requests of this life of the agent; a dead one's never come back. */
  life: number;
  isCut: boolean;
  isThere: boolean;
  /** Changes that a watch has still to tell it. */
  feed: { kind: string; name: string; resource: Resource | undefined }[];
}

export const GRACE_MS = 15 * 60_000;
const NODES = 4;
const PODS = 30;
const KUBERNETES = 'v1';
const NEVER = new Promise<never>(() => undefined);

/** Every action is one step; what it starts goes on as `deliver` lets requests through. */
export class ModelWorld {
  readonly draw: (bound: number) => number;
  readonly store = new StoreContents(400);
  readonly agents: Agent[] = [];
  readonly pods = new Map<string, Pod>();
  /** Who uses each address: from its answer until it is given back. */
  readonly inUse = new Map<string, string>();
  readonly #waiting: (() => void)[] = [];
  readonly #collector: Collector;
  readonly #collectorLink: StoreLink;
  #isCollecting = false;
  #isCalm = false;
  #uid = 0;
  now = Date.parse('2026-01-01T00:00:00Z');
  /** What went wrong in an answer; the first is the one to look at. */
  readonly faults: unknown[] = [];
  answers = 0;
  collected = 0;
  crashes = 0;

  constructor(seed: number) {
    this.draw = draws(seed);
    this.store.put(pool('p4', '10.0.0.0/27', { blockSize: 30 }));
    this.store.put(pool('q4', '10.1.0.0/30', { blockSize: 31 }));
    this.store.put(pool('p6', 'fd00::/124', { blockSize: 126 }));
    this.store.onChange = (next, previous) => this.#onChange(next, previous);
    for (let index = 0; index < NODES; index++) this.#addNode(`n${index}`);
    this.#collectorLink = this.#link(() => false);
    this.#collector = new Collector({ client: this.#collectorLink, now: () => this.now });
  }

  #addNode(name: string): void {
    const agent: Agent = {
      name,
      allocator: undefined as unknown as BlockAllocator,
      link: undefined as unknown as StoreLink,
      inventory: undefined,
      life: 0,
      isCut: false,
      isThere: true,
      feed: [],
    };
    this.agents.push(agent);
    this.store.put({ apiVersion: KUBERNETES, kind: 'Node', metadata: { name } });
    this.#start(agent);
  }

  /** Another life of the agent: what the one before had under way may still arrive, but ends there. */
  #start(agent: Agent): void {
    const life = ++agent.life;
    const isDead = () => agent.life !== life;
    const link = this.#link(isDead, agent);
    // Half of the agents are fed by watches, half list; one writes handle objects.
    const isFed = Number(agent.name.slice(1)) % 2 === 1;
    const writesHandles = agent.name === 'n0';
    agent.link = link;
    agent.feed = [];
    agent.inventory = isFed ? new Inventory(link) : undefined;
    agent.inventory?.setFed(true);
    agent.allocator = new BlockAllocator({
      client: link,
      nodeName: agent.name,
      writesHandles,
      now: () => this.now,
      ...(agent.inventory ? { inventory: agent.inventory } : {}),
    });
  }

  #link(isDead: () => boolean, agent?: Agent): StoreLink {
    const link = new StoreLink(this.store);
    link.wait = async () => {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      if (isDead()) await NEVER;
    };
    link.fault = () => {
      if (this.#isCalm) return 'none';
      if (agent?.isCut) return this.draw(4) === 0 ? 'after' : 'before';
      const chance = this.draw(60);
      return chance === 0 ? 'before' : chance === 1 ? 'after' : 'none';
    };
    // The collection reads what is old more often than not: its last look is by name.
    link.lag = () => (this.#isCalm || this.draw(agent ? 10 : 3) > 1 ? 0 : this.draw(60));
    return link;
  }

  /** One random thing happens. */
  step(): void {
    if (this.#waiting.length > 0 && this.draw(10) < 7) {
      for (let count = this.draw(8); count >= 0; count--) this.deliver();
      return undefined;
    }
    const action = this.draw(100);
    if (action < 34) return this.#addPod();
    if (action < 62) return this.#removePod();
    if (action < 72) return this.#feed();
    if (action < 78) return this.#collect();
    if (action < 82) return this.#restart();
    if (action < 84) return this.#crash();
    if (action < 86) return this.#cut();
    if (action < 88) return this.#changeNode();
    if (action < 90) return this.#tunnel();
    if (action < 92) return this.#configure();
    if (action < 95) return this.#again();
    this.now += this.draw(30_000);
    return undefined;
  }

  /** Lets one request through: it takes effect now, or its answer arrives. */
  deliver(): void {
    const [next] = this.#waiting.splice(this.draw(this.#waiting.length), 1);
    next?.();
  }

  get isBusy(): boolean {
    return this.#waiting.length > 0;
  }

  #agent(): Agent | undefined {
    return this.agents[this.draw(this.agents.length)];
  }

  #addPod(): void {
    const agent = this.#agent();
    // Names come again, as those of a StatefulSet do.
    const name = `pod-${this.draw(PODS)}`;
    if (!agent?.isThere || this.pods.has(name)) return;
    const uid = ++this.#uid;
    const node = agent.name;
    const pod: Pod = {
      name,
      uid,
      node,
      sandbox: 0,
      state: 'failed',
      addresses: [],
      isUnwanted: false,
    };
    this.pods.set(name, pod);
    this.#tell(pod);
    this.#addSandbox(pod, agent);
  }

  handleOf(pod: Pod): string {
    return `net.${pod.uid}-${pod.sandbox}`;
  }

  #addSandbox(pod: Pod, agent: Agent): void {
    pod.state = 'adding';
    pod.sandbox++;
    const handle = this.handleOf(pod);
    const attributes = { namespace: 'd', pod: pod.name, node: pod.node };
    const families = this.draw(3) === 0 ? ([4, 6] as const) : ([4] as const);
    const { life } = agent;
    const started = this.now;
    const use = (addresses: readonly string[]): void => {
      // The runtime has given up on an ADD that took so long, or whose agent died.
      if (this.now - started > GRACE_MS / 3 || agent.life !== life || !this.pods.has(pod.name)) {
        pod.state = 'failed';
        return;
      }
      this.#take(handle, addresses);
      pod.addresses = addresses;
      pod.state = 'running';
      this.#tell(pod);
      if (pod.isUnwanted) this.#leave(pod);
    };
    const failed = (error: unknown): void => {
      this.#refused(error);
      pod.state = 'failed';
    };
    this.#answer(agent.allocator.assign({ handle, attributes, families }).then(use, failed));
  }

  /** Refusals and lost connections are the way of this world; anything else is a fault. */
  #refused = (error: unknown): void => {
    if (!(error instanceof IpamError || error instanceof ConnectionError)) this.faults.push(error);
  };

  #answer(work: Promise<unknown>): void {
    void work.catch(this.#refused);
  }

  #take(handle: string, addresses: readonly string[]): void {
    this.answers++;
    for (const address of addresses) {
      const user = this.inUse.get(address);
      assert.ok(
        user === undefined || user === handle,
        `${address} has two owners: ${user}, ${handle}`,
      );
      this.inUse.set(address, handle);
      const held = this.store
        .blocks()
        .some((block) => addressesOf(block, handle).includes(address));
      assert.ok(held, `${address} was answered to ${handle}, and is not in the store`);
    }
  }

  #give(handle: string): void {
    for (const [address, user] of this.inUse) if (user === handle) this.inUse.delete(address);
  }

  /** What the API says of the pod. */
  #tell(pod: Pod, isDetached = false): void {
    const annotations = isDetached ? { 'cni.projectcalico.org/podIP': '' } : {};
    this.store.put({
      apiVersion: KUBERNETES,
      kind: 'Pod',
      metadata: { namespace: 'd', name: pod.name, uid: String(pod.uid), annotations },
      spec: { nodeName: pod.node, containers: [] },
      status: { phase: 'Running', podIPs: pod.addresses.map((ip) => ({ ip })) },
    } as Resource);
  }

  #removePod(): void {
    const pods = [...this.pods.values()];
    const pod = pods[this.draw(pods.length || 1)];
    if (!pod) return;
    if (pod.state === 'adding') pod.isUnwanted = true;
    else if (pod.state !== 'leaving') this.#leave(pod);
  }

  /** DEL, or none at all; then the pod is gone. */
  #leave(pod: Pod): void {
    const agent = this.agents.find(({ name }) => name === pod.node);
    pod.state = 'leaving';
    this.#give(this.handleOf(pod));
    pod.addresses = [];
    this.#tell(pod, true);
    if (!agent?.isThere || this.draw(8) === 0) return this.#forget(pod);
    const { life } = agent;
    const done = (): void => this.#forget(pod);
    const failed = (error: unknown): void => {
      this.#refused(error);
      if (agent.life === life && this.draw(3) > 0) this.#leave(pod);
      else this.#forget(pod);
    };
    this.#answer(agent.allocator.release({ handle: this.handleOf(pod) }).then(done, failed));
    return undefined;
  }

  #forget(pod: Pod): void {
    if (this.pods.get(pod.name) !== pod) return;
    this.#give(this.handleOf(pod));
    this.pods.delete(pod.name);
    this.store.remove('Pod', { namespace: 'd', name: pod.name });
  }

  /** A pod whose ADD failed, or whose container died, gets another sandbox. */
  #restart(): void {
    const pods = [...this.pods.values()].filter(
      ({ state }) => state === 'failed' || state === 'running',
    );
    const pod = pods[this.draw(pods.length || 1)];
    const agent = this.agents.find(({ name }) => name === pod?.node);
    if (!pod || !agent?.isThere) return;
    this.#give(this.handleOf(pod));
    pod.addresses = [];
    this.#tell(pod, true);
    const { life } = agent;
    const old = this.handleOf(pod);
    if (this.draw(3) > 0) this.#answer(agent.allocator.release({ handle: old }));
    if (agent.life === life) this.#addSandbox(pod, agent);
  }

  /** ADD again: of a container that runs, or of one whose DEL is under way at the same time. */
  #again(): void {
    const pods = [...this.pods.values()].filter(({ state }) => state === 'running');
    const pod = pods[this.draw(pods.length || 1)];
    const agent = this.agents.find(({ name }) => name === pod?.node);
    if (!pod || !agent?.isThere) return;
    if (this.draw(2) === 0) {
      this.#give(this.handleOf(pod));
      pod.addresses = [];
      this.#tell(pod, true);
      this.#answer(agent.allocator.release({ handle: this.handleOf(pod) }));
    }
    pod.sandbox--;
    this.#addSandbox(pod, agent);
  }

  #crash(): void {
    const agent = this.#agent();
    if (!agent) return;
    this.crashes++;
    this.#start(agent);
    for (const pod of this.pods.values()) {
      if (pod.node !== agent.name) continue;
      if (pod.state === 'adding') pod.state = 'failed';
      // The runtime asks the next agent again, or nobody ever does.
      if (pod.state === 'leaving') this.#leave(pod);
    }
  }

  #cut(): void {
    const agent = this.#agent();
    if (agent) agent.isCut = !agent.isCut && this.draw(3) === 0;
  }

  /** A node goes for good with all its pods, or one comes back under the same name. */
  #changeNode(): void {
    const agent = this.#agent();
    if (!agent) return;
    if (!agent.isThere) {
      agent.isThere = true;
      agent.isCut = false;
      this.store.put({ apiVersion: KUBERNETES, kind: 'Node', metadata: { name: agent.name } });
      return;
    }
    if (this.draw(4) > 0) return;
    agent.isThere = false;
    this.#start(agent);
    this.store.remove('Node', { name: agent.name });
    for (const pod of this.pods.values()) if (pod.node === agent.name) this.#forget(pod);
    this.#give(tunnelHandle('vxlan', agent.name));
  }

  #tunnel(): void {
    const agent = this.#agent();
    if (!agent?.isThere) return;
    const { life, name } = agent;
    const handle = tunnelHandle('vxlan', name);
    const attributes = { node: name, type: 'vxlanTunnelAddress' };
    const started = this.now;
    const use = (addresses: readonly string[]): void => {
      const isLate = this.now - started > GRACE_MS / 3;
      if (agent.life === life && agent.isThere && !isLate) this.#take(handle, addresses);
    };
    const request = { handle, attributes, families: [4] as const, use: 'Tunnel' as const };
    this.#answer(agent.allocator.assign(request).then(use));
  }

  #configure(): void {
    const choice = this.draw(4);
    if (choice === 0) {
      const strictAffinity = this.draw(2) === 0;
      const ipCooldownSeconds = this.draw(2) * 60;
      this.store.put(configuration({ strictAffinity, ipCooldownSeconds, maxBlocksPerHost: 0 }));
    } else if (choice === 1) {
      this.store.put(pool('q4', '10.1.0.0/30', { blockSize: 31, disabled: this.draw(2) === 0 }));
    } else if (choice === 2) {
      const reservedCIDRs = this.draw(2) === 0 ? [] : ['10.0.0.0/30', '10.0.0.5', 'fd00::4/127'];
      const metadata = { name: 'r' };
      const spec = { reservedCIDRs };
      this.store.put({
        apiVersion: 'projectcalico.org/v3',
        kind: 'IPReservation',
        metadata,
        spec,
      } as Resource);
    } else this.store.put(pool('q4', '10.1.0.0/30', { blockSize: 31 }));
  }

  /** Some of the events that wait for a fed agent reach it, in their order. */
  #feed(): void {
    const agent = this.#agent();
    if (agent) this.#feedSome(agent, this.draw(20));
  }

  #feedSome(agent: Agent, count: number): void {
    const updates = agent.feed.splice(0, count).map(({ kind, name, resource }) => {
      return { kind: { group: 'projectcalico.org', kind }, key: `${kind} ${name}`, resource };
    });
    agent.inventory?.onUpdates(updates);
  }

  #collect(): void {
    if (this.#isCollecting) return;
    this.#isCollecting = true;
    void this.collectOnce().finally(() => (this.#isCollecting = false));
  }

  async collectOnce(): Promise<void> {
    try {
      await this.#collector.check();
      const mended = await this.#collector.mend();
      this.collected += mended.filter(({ failure }) => failure === undefined).length;
    } catch (error) {
      this.#refused(error);
    }
  }

  /** Every change of a block is held against what is in use. */
  #onChange(next: Resource | undefined, previous: Resource | undefined): void {
    const { kind = '', metadata } = next ?? previous ?? {};
    for (const agent of this.agents) {
      if (agent.inventory) {
        agent.feed.push({ kind, name: metadata?.name ?? '', resource: next });
      }
    }
    if (kind !== 'IPAMBlock' || !previous) return;
    const after = next && (next as IPAMBlock);
    for (const { address, handle } of allocationsIn(previous as IPAMBlock)) {
      if (this.inUse.get(address) !== handle) continue;
      const isHeld = after !== undefined && addressesOf(after, handle).includes(address);
      assert.ok(isHeld, `${address} of ${handle} was taken from its owner, which is alive`);
    }
  }

  /** Faults end, all that is under way ends, and the collection has its time. */
  async quiet(turn: () => Promise<void>): Promise<void> {
    this.#isCalm = true;
    for (const agent of this.agents) agent.isCut = false;
    // Without any node nothing is concluded from one that is gone (IP29).
    if (this.agents.every(({ isThere }) => !isThere)) this.#changeNode();
    await this.#drain(turn);
    for (const pod of this.pods.values()) if (pod.state !== 'running') this.#leave(pod);
    await this.#drain(turn);
    for (let round = 0; round < 8; round++) {
      this.now += GRACE_MS;
      this.#collect();
      await this.#drain(turn);
    }
    const there = new Set(this.agents.filter((it) => it.isThere).map(({ name }) => name));
    const alive = new Set([...this.pods.values()].map((pod) => this.handleOf(pod)));
    for (const name of there) alive.add(tunnelHandle('vxlan', name));
    checkAgreement(this.store, { nodes: there, handles: alive, inUse: this.inUse });
    this.#isCalm = false;
  }

  async #drain(turn: () => Promise<void>): Promise<void> {
    await turn();
    for (let count = 0; this.isBusy; count++) {
      assert.ok(count < 100_000, 'it does not come to rest');
      this.deliver();
      await turn();
    }
    for (const agent of this.agents) this.#feedSome(agent, agent.feed.length);
  }
}
