// Routes, blackholes and what pods may do to their host (SPEC.md: CG23 to CG25).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '#api';
import { calico, graphOf, resource } from './cluster-fixture.ts';

const node = (name: string, ...addresses: readonly (readonly [type: string, address: string])[]) =>
  resource('v1', 'Node', name, {
    status: { addresses: addresses.map(([type, address]) => ({ type, address })) },
  });

function block(
  cidr: string,
  owner: string | null,
  held: Readonly<Record<number, string>> = {},
): Resource {
  const nodes = Object.values(held);
  return calico('IPAMBlock', cidr.replaceAll(/[.:/]/g, '-'), {
    cidr,
    affinity: owner === null ? null : `host:${owner}`,
    allocations: Array.from({ length: 8 }, (_, ordinal) =>
      held[ordinal] === undefined ? null : nodes.indexOf(held[ordinal]),
    ),
    unallocated: [],
    attributes: nodes.map((name) => ({ handle_id: 'h', secondary: { node: name } })),
  });
}

const NODES = [
  node('one', ['InternalIP', '172.16.0.1'], ['InternalIP', 'fd00:16::1']),
  node('two', ['ExternalIP', '203.0.113.2'], ['Hostname', 'two'], ['InternalIP', '172.16.0.2']),
  node('three', ['InternalIP', 'fd00:16::3']),
];

test("[CG23] blocks of others go through their InternalIP of the block's family", () => {
  const graph = graphOf(
    ...NODES,
    block('10.2.0.0/29', 'two'),
    block('10.3.0.0/29', 'three'),
    block('fd00:3::/125', 'three'),
    block('10.4.0.0/29', 'nobody'),
    block('10.5.0.0/29', null),
  );
  assert.deepEqual(graph.state().routes, [
    { destination: '10.2.0.0/29', gateway: '172.16.0.2' },
    { destination: 'fd00:3::/125', gateway: 'fd00:16::3' },
  ]);
  assert.deepEqual(graph.state().blackholes, []);
});

test('[CG23] a borrowed address goes to the host that borrowed it', () => {
  const graph = graphOf(
    ...NODES,
    block('10.1.0.0/29', 'one', { 0: 'one', 3: 'two' }),
    block('10.2.0.0/29', 'two', { 0: 'two', 5: 'one' }),
    block('10.5.0.0/29', null, { 1: 'two', 2: 'one' }),
  );
  assert.deepEqual(graph.state().routes, [
    { destination: '10.1.0.3/32', gateway: '172.16.0.2' },
    { destination: '10.2.0.0/29', gateway: '172.16.0.2' },
    { destination: '10.5.0.1/32', gateway: '172.16.0.2' },
  ]);
});

test('[CG24] blocks of this host are blackholes, sorted', () => {
  const graph = graphOf(...NODES, block('fd00:1::/125', 'one'), block('10.1.0.0/29', 'one'));
  assert.deepEqual(graph.state().blackholes, ['10.1.0.0/29', 'fd00:1::/125']);
  assert.deepEqual(graph.state().routes, []);
});

test('[CG25] endpointToHostAction: node, then default, then Accept', () => {
  const configuration = (name: string, action?: string) =>
    calico('FelixConfiguration', name, action ? { defaultEndpointToHostAction: action } : {});
  const actionOf = (...resources: readonly Resource[]) =>
    graphOf(...resources).state().endpointToHostAction;
  assert.equal(actionOf(), 'Accept');
  assert.equal(actionOf(configuration('default', 'Drop')), 'Drop');
  assert.equal(
    actionOf(configuration('default', 'Drop'), configuration('node.one', 'Return')),
    'Return',
  );
  assert.equal(actionOf(configuration('default', 'Drop'), configuration('node.one')), 'Drop');
  assert.equal(actionOf(configuration('node.two', 'Drop')), 'Accept');
});
