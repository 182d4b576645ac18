// As soon as a pod's interface is made packets pass through it, both ways and of both families: none is lost.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { VethDriver } from '#cni';
import { ROUTE_PROTOCOL, ROUTE_TABLE, withNamespace, writeSysctlInNamespace } from '#linux';
import { makeNamespace, type TestNamespace } from './linux-namespaces.ts';
import { Ping } from './raw-probe.ts';

const PODS = Number(process.env['PODS'] ?? 60);
/** Others come and go at the same time: the kernel has their interfaces to do with, under the same lock. */
const OTHERS = 4;
const ANSWER_MS = 500;
const HOST = { 4: '10.66.0.1', 6: 'fd66::1' } as const;
const FAMILIES = [4, 6] as const;

interface Place {
  readonly pod: TestNamespace;
  readonly hostName: string;
  readonly netns: string;
  readonly ifname: string;
  readonly addresses: readonly string[];
}

function place(t: TestContext, index: number): Place {
  const pod = makeNamespace(t);
  const hostName = `cali${String(index).padStart(11, '0')}`;
  const addresses = [`10.65.1.${index}/32`, `fd65::${index.toString(16)}/128`];
  return { pod, hostName, netns: pod.path, ifname: 'eth0', addresses };
}

/** What the dataplane adds, here without policy. */
function route(host: TestNamespace, { hostName, addresses }: Place): void {
  for (const destination of addresses) {
    host.route.replaceRoute({
      family: destination.includes(':') ? 6 : 4,
      destination,
      interface: hostName,
      table: ROUTE_TABLE.MAIN,
      protocol: ROUTE_PROTOCOL.TORTIE,
      type: 'unicast',
    });
  }
}

function pings({ fd }: TestNamespace): Readonly<Record<4 | 6, Ping>> {
  return withNamespace(fd, () => ({ 4: new Ping(4), 6: new Ping(6) }));
}

test('[CNI25] the first packet to a new pod and from it arrives', async (t) => {
  const host = makeNamespace(t);
  for (const family of FAMILIES) {
    host.route.addAddress('lo', `${HOST[family]}/${family === 4 ? 32 : 128}`, { noDad: true });
  }
  writeSysctlInNamespace(host.fd, 'net/ipv4/ip_forward', 1);
  writeSysctlInNamespace(host.fd, 'net/ipv6/conf/all/forwarding', 1);
  const driver = new VethDriver({ namespace: host.fd, mtu: () => 1500 });
  t.after(() => driver.close());
  const fromHost = pings(host);
  const coming = Array.from({ length: OTHERS }, (_, index) => place(t, PODS + 1 + index));
  const lost: string[] = [];
  let isOver = false;
  const churn = coming.map(async (other) => {
    while (!isOver) {
      await driver.ensure(other);
      await driver.remove(other, true);
    }
  });
  for (let index = 1; index <= PODS; index++) {
    const made = place(t, index);
    const fromPod = pings(made.pod);
    await driver.ensure(made);
    route(host, made);
    const first = FAMILIES.flatMap((family) => {
      const [address = ''] = made.addresses[family === 4 ? 0 : 1]?.split('/') ?? [];
      return [
        { way: `to pod ${index}, IPv${family}`, asked: fromHost[family].probe(address, ANSWER_MS) },
        {
          way: `from pod ${index}, IPv${family}`,
          asked: fromPod[family].probe(HOST[family], ANSWER_MS),
        },
      ];
    });
    for (const { way, asked } of first) if ((await asked) !== 'open') lost.push(way);
  }
  isOver = true;
  await Promise.all(churn);
  assert.deepEqual(lost, []);
});
