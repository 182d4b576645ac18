// Connections go with the owner of their address, and only those.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BARE_STATE, type DataplaneState } from '#calc/dataplane-update';
import type { ConntrackEntry } from '#linux';
import { StaleConnections } from './stale-connections.ts';

function stateWith(owners: Readonly<Record<string, string>>): DataplaneState {
  const endpoints = Object.entries(owners).map(([address, id]) => {
    const rest = {
      allowedSources: [],
      floatingAddresses: [],
      ingress: [],
      egress: [],
      profiles: [],
    };
    return [id, { id, interfaceName: `cali${id}`, addresses: [address], ...rest }] as const;
  });
  return { ...BARE_STATE, endpoints: new Map(endpoints) };
}

function entry(id: number, source: string, destination: string): ConntrackEntry {
  const family = source.includes(':') ? 6 : 4;
  const original = { family, source, destination, protocol: 6 } as const;
  return {
    id,
    original,
    reply: { ...original, source: destination, destination: source },
    status: 0,
  };
}

test('connections of an address go when its owner goes or changes', () => {
  let table = [
    entry(1, '10.0.0.1', '10.0.0.9'),
    entry(2, '10.0.0.9', '10.0.0.1'),
    entry(3, '10.0.0.2', '10.0.0.9'),
    entry(4, 'fd00::1', 'fd00::9'),
  ];
  let dumps = 0;
  const stale = new StaleConnections({
    dump: () => {
      dumps++;
      return table;
    },
    delete: ({ id }) => {
      table = table.filter((one) => one.id !== id);
      return true;
    },
  });
  assert.equal(
    stale.onApplied(stateWith({ '10.0.0.1/32': 'a', '10.0.0.2/32': 'b', 'fd00::1/128': 'c' })),
    0,
  );
  assert.equal(
    stale.onApplied(stateWith({ '10.0.0.1/32': 'a', '10.0.0.2/32': 'b', 'fd00::1/128': 'c' })),
    0,
  );
  assert.equal(dumps, 0, 'nothing is read while nobody leaves');
  assert.equal(stale.onApplied(stateWith({ '10.0.0.2/32': 'b', 'fd00::1/128': 'new' })), 3);
  assert.deepEqual(
    table.map(({ id }) => id),
    [3],
  );
});

test('connections of many that go are looked for together, but before an address has another owner', async () => {
  let table: ConntrackEntry[] = [];
  let dumps = 0;
  const told: number[] = [];
  const connections = {
    dump: () => {
      dumps++;
      return table;
    },
    delete: ({ id }: ConntrackEntry) => {
      table = table.filter((one) => one.id !== id);
      return true;
    },
  };
  const stale = new StaleConnections(connections, {
    intervalMs: 40,
    onForgotten: (count) => told.push(count),
  });
  table = ['1', '2', '3', '4'].map((last) => entry(Number(last), `10.0.0.${last}`, '10.0.0.9'));
  const all = { '10.0.0.1/32': 'a', '10.0.0.2/32': 'b', '10.0.0.3/32': 'c', '10.0.0.4/32': 'd' };
  stale.onApplied(stateWith(all));
  const { '10.0.0.1/32': _, ...three } = all;
  assert.equal(stale.onApplied(stateWith(three)), 1, 'the first that goes is looked for at once');
  stale.onApplied(stateWith({ '10.0.0.3/32': 'c', '10.0.0.4/32': 'd' }));
  assert.equal(stale.onApplied(stateWith({ '10.0.0.4/32': 'd' })), 0);
  assert.equal(dumps, 1);
  const next = stateWith({ '10.0.0.4/32': 'd', '10.0.0.3/32': 'other' });
  assert.equal(stale.onApplied(next), 2, 'one of them is taken');
  assert.equal(stale.onApplied(stateWith({ '10.0.0.3/32': 'other' })), 0);
  while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual([told, table], [[1], []]);
  stale.stop();
});
