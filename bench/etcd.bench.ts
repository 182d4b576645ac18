// Writes a second of the store over etcd, against raw puts of the same values by the same client.
import { type Store, openEtcdStore } from '#datastore';
import { EtcdConnection } from '../src/datastore/etcd/etcd-connection.ts';
import { EtcdProcess } from '../src/datastore/etcd/etcd-fixture.ts';
import { put } from '../src/datastore/etcd/etcd-messages.ts';
import { median, printFigure, printMachine } from './measurement.ts';

const WRITERS = [1, 64];
const ROUNDS = 5;
const SECONDS = 1;
const KIND = 'networkpolicies.projectcalico.org';

/** About one kilobyte, as a policy is. */
function valueOf(index: number): Record<string, unknown> {
  const rules = Array.from({ length: 8 }, (_, rule) => ({
    action: 'Allow',
    protocol: 'TCP',
    source: { selector: `app == "client-${rule}" && tier in {"front", "back"}` },
    destination: { ports: [8000 + rule] },
  }));
  const uid = '7a1b3c55-1111-4222-8333-444455556666';
  return {
    metadata: { name: `p${index}`, uid, labels: { count: String(index) } },
    spec: { rules },
  };
}

/** Each writer waits for its write before the next one. */
async function writesASecond(
  writers: number,
  write: (writer: number, count: number) => Promise<unknown>,
): Promise<number> {
  const start = performance.now();
  let count = 0;
  const run = async (writer: number): Promise<void> => {
    while (performance.now() < start + SECONDS * 1000) await write(writer, count++);
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => run(writer)));
  return count / ((performance.now() - start) / 1000);
}

const writeTo = (store: Store) => (writer: number, count: number) =>
  store.write({
    key: { kind: KIND, namespace: 'default', name: `writer-${writer}` },
    value: valueOf(count),
  });

const putTo = (connection: EtcdConnection) => (writer: number, count: number) =>
  connection.call(put, { key: `/raw/writer-${writer}`, value: JSON.stringify(valueOf(count)) });

const etcd = await EtcdProcess.start();
try {
  printMachine();
  const endpoints = [etcd.endpoint];
  const connection = new EtcdConnection({ endpoints });
  const store = await openEtcdStore({ endpoints });
  await writesASecond(64, writeTo(store));
  await writesASecond(64, putTo(connection));
  for (const writers of WRITERS) {
    const [raw, stored]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      raw.push(await writesASecond(writers, putTo(connection)));
      stored.push(await writesASecond(writers, writeTo(store)));
    }
    const peer = { name: 'raw puts', figure: median(raw) };
    printFigure(`raw puts, writers ${writers}`, peer.figure, 'puts/s');
    printFigure(`store over etcd, writers ${writers}`, median(stored), 'writes/s', peer);
  }
  await store.close();
  connection.close();
} finally {
  await etcd.remove();
}
