// A migration's target has no routes, then preferred ones, then the usual: as its machine arrives and settles.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BARE_STATE, type LocalEndpoint } from '#calc/dataplane-update';
import { PersistentMap } from '#lib';
import { LiveMigrations } from './live-migrations.ts';

const endpoint = (migration?: LocalEndpoint['migration']): LocalEndpoint => ({
  id: 'shop/vm',
  interfaceName: 'cali1',
  addresses: ['10.0.0.1/32'],
  allowedSources: [],
  floatingAddresses: [],
  ingress: [],
  egress: [],
  profiles: [],
  ...(migration && { migration }),
});
const stateOf = (...endpoints: readonly LocalEndpoint[]) => ({
  ...BARE_STATE,
  endpoints: PersistentMap.from(endpoints.map((one) => [one.id, one] as const)),
});
const NONE = stateOf();
const USUAL = stateOf(endpoint());
const TARGET = stateOf(endpoint('target'));
const SOURCE = stateOf(endpoint('source'));

/** `isThere`: whether the interface can be listened on. */
function makeMigrations({ isRouted = false, isThere = true } = {}) {
  const world = { changes: 0, listening: 0, isThere, arrive: () => {} };
  const migrations = new LiveMigrations({
    listen: (_, onArrival) => {
      if (!world.isThere) return undefined;
      world.listening++;
      world.arrive = onArrival;
      return { close: () => void world.listening-- };
    },
    isRouted: () => isRouted,
    onChange: () => world.changes++,
    log: () => undefined,
  });
  const routing = (state: typeof NONE) => migrations.amend(state).endpoints.get('shop/vm')?.routing;
  return { migrations, routing, world };
}

test('[AG23] a target waits for its machine, is preferred from then on, and for a while after the migration', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { migrations, routing, world } = makeMigrations();
  migrations.setSettleTime(50);
  assert.equal(migrations.amend(USUAL), USUAL, 'where nothing moves the state is as it was');
  assert.equal(routing(TARGET), 'none');
  assert.equal(migrations.amend(TARGET), migrations.amend(TARGET), 'the same while it is');
  world.arrive();
  assert.equal(world.changes, 1);
  assert.equal(routing(TARGET), 'elevated');
  assert.equal(routing(USUAL), 'elevated');
  t.mock.timers.tick(50);
  assert.equal(world.changes, 2);
  assert.equal(migrations.amend(USUAL), USUAL);
  assert.equal(world.listening, 0);
});

test('[AG23] an arrival that nobody heard is one when the migration is over', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { routing, world } = makeMigrations({ isThere: false });
  assert.equal(routing(NONE), undefined);
  assert.equal(routing(TARGET), 'none');
  assert.equal(world.listening, 0);
  world.isThere = true;
  assert.equal(routing(TARGET), 'none');
  assert.equal(world.listening, 1, 'heard from when the interface is there');
  assert.equal(routing(USUAL), 'elevated');
  assert.equal(world.listening, 0);
});

test('[AG23] a machine that leaves again or is gone has the usual routes, or none', () => {
  const { migrations, routing, world } = makeMigrations();
  routing(NONE);
  routing(TARGET);
  world.arrive();
  assert.equal(routing(TARGET), 'elevated');
  assert.equal(routing(SOURCE), undefined, 'the source keeps its routes');
  assert.equal(routing(TARGET), 'none', 'and once more');
  migrations.amend(NONE);
  assert.equal(world.listening, 0);
  assert.equal(routing(USUAL), undefined);
});

test('[AG23] an agent that was killed while the machine was here goes on with its routes', () => {
  const { routing } = makeMigrations({ isRouted: true });
  assert.equal(routing(TARGET), 'elevated');
  const later = makeMigrations({ isRouted: true });
  later.routing(NONE);
  assert.equal(later.routing(TARGET), 'none', 'routes of before are asked for at the start alone');
});
