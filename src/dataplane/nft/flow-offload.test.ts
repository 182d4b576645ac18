// Flow offload against a kernel in memory: what takes part, what is lacking, and what goes meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DataplaneState } from '#calc/dataplane-update';
import { BARE_STATE } from '#calc/dataplane-update';
import {
  type Link,
  NftError,
  type NftOperation,
  type TableSnapshot,
  baseSignature,
  setSignature,
} from '#linux';
import { endpoint, stateOf } from '../fixture.ts';
import { FlowOffload } from './flow-offload.ts';

/** Knows one table with one flowtable; takes only devices that are there. */
class MemoryKernel {
  links = new Set<string>();
  hasFlowtables = true;
  commits = 0;
  devices: Set<string> | undefined;
  #table: { chains: TableSnapshot['chains']; sets: TableSnapshot['sets'] } | undefined;

  readTable(): TableSnapshot | undefined {
    return this.#table && { dormant: false, ...this.#table };
  }

  readFlowtables() {
    const devices = [...(this.devices ?? [])].filter((name) => this.links.has(name));
    return new Map(this.devices ? [['established', { priority: -300, devices }]] : []);
  }

  commit(operations: readonly NftOperation[]): void {
    for (const operation of operations) this.#check(operation);
    for (const operation of operations) this.#do(operation);
    if (operations.length > 0) this.commits++;
  }

  #check(operation: NftOperation): void {
    if (operation.kind !== 'add-flowtable') return;
    const isThere = operation.devices.every((name) => this.links.has(name));
    if (!this.hasFlowtables || !isThere) throw new NftError('refused', 'ENOENT', 0, undefined);
  }

  #do(operation: NftOperation): void {
    switch (operation.kind) {
      case 'delete-table':
        this.#table = undefined;
        this.devices = undefined;
        return;
      case 'add-table':
        this.#table = { chains: new Map(), sets: new Map() };
        return;
      case 'add-set': {
        const set = { signature: setSignature(operation.type), elements: [] };
        this.#table = { chains: new Map(), ...this.#table, sets: new Map([[operation.set, set]]) };
        return;
      }
      case 'add-chain': {
        const chain = { base: baseSignature(operation.base), rules: [] };
        this.#table = {
          sets: new Map(),
          ...this.#table,
          chains: new Map([[operation.chain, chain]]),
        };
        return;
      }
      case 'add-rule': {
        const chain = this.#table?.chains.get(operation.chain);
        const comment = operation.comment ?? '';
        const rules = [...(chain?.rules ?? []), { handle: 1n, comment }];
        const chains = new Map([[operation.chain, { base: chain?.base ?? '', rules }]]);
        this.#table = { sets: new Map(), ...this.#table, chains };
        return;
      }
      case 'add-flowtable':
        this.devices = new Set([...(this.devices ?? []), ...operation.devices]);
        return;
      case 'delete-devices':
        for (const name of operation.devices) this.devices?.delete(name);
    }
  }
}

function linkOf(name: string): Link {
  return { name, index: 1, up: true, carrier: true, mtu: 1500 };
}

function made(more: Partial<DataplaneState> = {}, pattern = '') {
  const kernel = new MemoryKernel();
  const offload = new FlowOffload(kernel, () => [...kernel.links].map(linkOf));
  const settings = { ...BARE_STATE.settings, flowOffload: { hostInterfacePattern: pattern } };
  const state = stateOf([endpoint('a'), endpoint('b')], [], { settings, ...more });
  return { kernel, offload, state };
}

void test('[DP83] interfaces that are there take part, and the host’s that the pattern names', () => {
  const { kernel, offload, state } = made({}, '^eth');
  kernel.links = new Set(['lo', 'calia', 'calix', 'eth0', 'wlan0']);
  assert.deepEqual(offload.apply(state), { errors: [], repaired: [], warnings: [] });
  assert.deepEqual(kernel.devices, new Set(['calia', 'eth0']));
  assert.deepEqual(offload.size, { devices: 2, missing: 1 });
  kernel.links.add('calib');
  offload.apply(state);
  assert.deepEqual(kernel.devices, new Set(['calia', 'calib', 'eth0']));
  const { commits } = kernel;
  offload.apply(state);
  assert.equal(kernel.commits, commits, 'nothing is written when nothing changed');
  kernel.links.delete('calia');
  assert.deepEqual(offload.apply(state).errors, []);
  assert.deepEqual(kernel.readFlowtables().get('established')?.devices, ['eth0', 'calib']);
});

void test('[DP64] a kernel without flowtables is told of and asked again only after a resync', () => {
  const { kernel, offload, state } = made();
  kernel.hasFlowtables = false;
  const { errors, warnings } = offload.apply(state);
  assert.deepEqual(errors, []);
  assert.match(warnings.join(), /no effect: this kernel has no flowtables/);
  kernel.hasFlowtables = true;
  assert.equal(offload.apply(state).warnings.length, 1);
  offload.resync();
  assert.deepEqual(offload.apply(state).warnings, []);
});

void test('[DP71] what goes wrong is told at each apply and tried again only after a resync', () => {
  const { kernel, offload, state } = made();
  let reads = 0;
  const readTable = kernel.readTable.bind(kernel);
  kernel.readTable = () => {
    reads++;
    throw new NftError('cannot read it', 'ENOBUFS', undefined);
  };
  for (let apply = 0; apply < 5; apply++) {
    assert.deepEqual(offload.apply(state).errors, [
      { what: 'flow offload', message: 'cannot read it' },
    ]);
  }
  assert.equal(reads, 1);
  kernel.readTable = readTable;
  offload.resync();
  assert.deepEqual(offload.apply(state).errors, []);
});

void test('[DP64] interfaces on which untracked policy judges each packet do not take part', () => {
  const tier = { name: 'default', defaultAction: 'Deny', policies: [] } as const;
  const host = (interfaceName: string | null) => ({
    id: 'host',
    interfaceName,
    addresses: ['192.0.2.1'],
    untracked: { ingress: [tier], egress: [] },
    preDnat: [],
    forward: { ingress: [], egress: [] },
    normal: { ingress: [], egress: [] },
    profiles: [],
  });
  for (const [name, expected] of [
    ['eth0', ['calia', 'eth1']],
    [null, ['calia']],
  ] as const) {
    const { kernel, offload, state } = made(
      { hostEndpoints: new Map([['host', host(name)]]) },
      'eth',
    );
    kernel.links = new Set(['calia', 'eth0', 'eth1']);
    offload.apply(state);
    assert.deepEqual([...(kernel.devices ?? [])], expected);
  }
});

void test('[DP63] a table that somebody took away is made again, and said', () => {
  const { kernel, offload, state } = made();
  kernel.links = new Set(['calia']);
  offload.apply(state);
  kernel.commit([{ kind: 'delete-table', table: 'tortie-offload' }]);
  const report = offload.apply(state);
  assert.deepEqual(report, {
    errors: [],
    repaired: ['nftables table inet tortie-offload'],
    warnings: [],
  });
  assert.deepEqual(kernel.devices, new Set(['calia']));
});

void test('[DP83] more interfaces than a flowtable can be read with are left out, and said', () => {
  const { kernel, offload, state } = made({}, '^eth');
  kernel.links = new Set(Array.from({ length: 1003 }, (_, index) => `eth${index}`));
  assert.match(offload.apply(state).warnings.join(), /^3 interfaces are not offloaded/);
  assert.equal(kernel.devices?.size, 1000);
});

void test('[DP64] a pattern that is none is said, and workloads take part all the same', () => {
  const { kernel, offload, state } = made({}, '(');
  kernel.links = new Set(['calia', 'eth0']);
  assert.match(offload.apply(state).warnings.join(), /"\(" is no regular expression/);
  assert.deepEqual(kernel.devices, new Set(['calia']));
});
