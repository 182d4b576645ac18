// Neighbours in the host's subnet reach addresses that are not its own: they are told that these are here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DataplaneState } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import { announceAddress, NftablesSocket, RouteSocket, sysctlsOfNamespace } from '#linux';
import {
  attachPod,
  Machine,
  makeRouter,
  stateOf,
  endpoint,
  podInterface,
} from './dataplane-router.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';

/** In the subnets of the wire between the router and a neighbour. */
const POD = { 4: '172.31.0.77', 6: 'fd31::77' } as const;
const STRANGER = '172.31.0.88';

test('[DP80] an address in the subnet of an interface is answered for, announced, and let go', {
  skip,
}, async (t) => {
  const router = await makeRouter(t, 0);
  const neighbour = new Machine(t);
  const { machine, routes } = router;
  routes.createVeth({ name: 'eth0', peerName: 'eth0', peerNamespace: neighbour.fd });
  const far = RouteSocket.open({ namespace: neighbour.fd });
  t.after(() => far.close());
  for (const [socket, last] of [
    [routes, 1],
    [far, 2],
  ] as const) {
    socket.setUp('eth0');
    socket.addAddress('eth0', `172.31.0.${last}/24`);
    socket.addAddress('eth0', `fd31::${last}/64`, { noDad: true });
  }
  const pod = new Machine(t);
  attachPod(machine, routes, pod, 1);
  const inPod = RouteSocket.open({ namespace: pod.fd });
  t.after(() => inPod.close());
  inPod.addAddress('eth0', `${POD[4]}/32`);
  inPod.addAddress('eth0', `${POD[6]}/128`, { noDad: true });
  const sockets = () => ({
    nftables: NftablesSocket.open({ namespace: machine.fd }),
    routes: RouteSocket.open({ namespace: machine.fd }),
    sysctls: sysctlsOfNamespace(machine.fd),
  });
  const announced: string[] = [];
  const start = () => {
    const dataplane = new Dataplane({
      ...sockets(),
      announce: (one) => {
        announced.push(one.address);
        announceAddress({ ...one, namespace: machine.fd });
      },
    });
    t.after(() => dataplane.close());
    return dataplane;
  };
  const dataplane = start();
  const web = endpoint(1, { addresses: [`${POD[4]}/32`, `${POD[6]}/128`] });
  const state = (proxied: readonly string[]): DataplaneState => stateOf([web], [], { proxied });
  dataplane.apply(state([]));
  assert.ok(!neighbour.pings(POD[4]), 'nobody says where it is');
  const wanted = state([POD[4], POD[6], '198.51.100.1']);
  assert.deepEqual(dataplane.apply(wanted).errors, []);
  assert.ok(neighbour.pings(POD[4]));
  assert.ok(neighbour.pings(POD[6]));
  assert.deepEqual(announced, [POD[4], POD[6]]);
  assert.equal(start().apply(wanted).writes, 0, 'found again without memory');

  // A neighbour that believes it elsewhere is told where it is.
  for (const address of [POD[4], POD[6]]) {
    const wrong = [
      'neigh',
      'replace',
      address,
      'lladdr',
      '02:00:00:00:00:99',
      'dev',
      'eth0',
      'nud',
      'stale',
    ];
    neighbour.run('ip', ...wrong);
  }
  dataplane.announceAll();
  const own = routes.link('eth0')?.mac ?? '';
  for (let attempt = 0; attempt < 100; attempt++) {
    const known = neighbour.run('ip', 'neigh', 'show', 'dev', 'eth0');
    if ([POD[4], POD[6]].every((one) => known.includes(`${one} lladdr ${own}`))) break;
    assert.ok(attempt < 99, known);
  }

  machine.run('ip', 'neigh', 'add', 'proxy', STRANGER, 'dev', 'eth0');
  machine.run('ip', 'neigh', 'del', 'proxy', POD[4], 'dev', 'eth0');
  dataplane.resync();
  dataplane.apply(wanted);
  const listed = () => machine.run('ip', 'neigh', 'show', 'proxy');
  assert.match(listed(), new RegExp(POD[4]), 'what somebody took away is back');
  dataplane.apply(state([]));
  assert.doesNotMatch(listed(), new RegExp(`${POD[4]}|${POD[6]}`));
  assert.match(listed(), new RegExp(STRANGER), "others' stay");
  assert.doesNotMatch(machine.run('ip', 'neigh', 'show', 'proxy', 'dev', podInterface(1)), /172/);
});
