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
