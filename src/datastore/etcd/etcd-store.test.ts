// The store over a real etcd: the contract that every store keeps.
import { after, before, suite } from 'node:test';
import { storeContract } from '../store.contract.ts';
import { EtcdProcess } from './etcd-fixture.ts';
import { openEtcdStore } from './etcd-store.ts';

suite('etcd', () => {
  let etcd: EtcdProcess | undefined;
  before(async () => {
    etcd = await EtcdProcess.start();
  });
  after(() => etcd?.remove());

  storeContract('etcd', async (context, { logEvents = 1000 } = {}) => {
    if (!etcd) throw new Error('etcd does not run');
    await etcd.control('del', '--prefix', '/');
    const store = await openEtcdStore({
      endpoints: [etcd.endpoint],
      log: { events: logEvents, bytes: 10_000_000 },
    });
    context.after(() => store.close());
    return store;
  });
});
