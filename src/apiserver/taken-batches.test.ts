// A batch that comes again is known; agents do not know each other's numbers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appendFlows } from './flow-routes.ts';
import type { FlowStore } from './flow-store.ts';
import { TakenBatches } from './taken-batches.ts';

test('numbers are an agent’s own, and what has none is always new', () => {
  const taken = new TakenBatches();
  const one = { agent: 'one', number: 2 };
  assert.equal(taken.isNew(one), true);
  assert.equal(taken.isNew(one), true, 'asking is not taking');
  taken.note(one);
  assert.equal(taken.isNew(one), false);
  assert.equal(taken.isNew({ agent: 'one', number: 1 }), false);
  assert.equal(taken.isNew({ agent: 'one', number: 3 }), true);
  assert.equal(taken.isNew({ agent: 'two', number: 2 }), true);
  for (const batch of [undefined, null, 'one', { agent: 'one' }, { number: 2 }]) {
    taken.note(batch);
    assert.equal(taken.isNew(batch), true, JSON.stringify(batch));
  }
});

test('a batch is taken once, but not one that was refused', () => {
  const got: unknown[][] = [];
  let refuses = true;
  const store: Pick<FlowStore, 'append'> = {
    append: (flows) => {
      if (refuses) throw new Error('not a flow');
      got.push(flows);
    },
  };
  const body = { flows: [1], batch: { agent: 'one', number: 1 } };
  const append = () => appendFlows(store as FlowStore, body);
  assert.throws(append, /not a flow/);
  refuses = false;
  const { server } = append();
  assert.equal(append().server, server);
  assert.deepEqual(got, [[1]]);
});
