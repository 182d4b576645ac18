// Model test: random steps over nodes with crashes, partitions, stale reads and conflicts (STEPS, SEED).
import { test, type TestContext } from 'node:test';
import { ModelWorld } from './model-world.ts';

/** A million takes some minutes; the short form runs with the other tests. */
const STEPS = Number(process.env['STEPS'] ?? 20_000);
const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
/** Steps until the next quiet, at which everything must be in order. */
const EPOCH = 2_500;

const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

void test('[IP1] [IP33] never two owners, no leak after quiet, nothing alive freed', async (t: TestContext) => {
  const world = new ModelWorld(SEED);
  let step = 0;
  try {
    for (; step < STEPS && world.faults.length === 0; step++) {
      world.step();
      await turn();
      if ((step + 1) % EPOCH === 0) await world.quiet(turn);
    }
    await world.quiet(turn);
    if (world.faults.length > 0) throw world.faults[0];
  } catch (error) {
    const cause = world.faults[0] ?? error;
    throw new Error(`step ${step}: run again with SEED=${SEED} STEPS=${STEPS}`, { cause });
  } finally {
    const { answers, collected, crashes, store } = world;
    t.diagnostic(
      `seed ${SEED}: ${step} steps, ${answers} answers, ${store.writes} writes, ` +
        `${store.conflicts} conflicts, ${crashes} crashes, ${collected} mended`,
    );
  }
});
