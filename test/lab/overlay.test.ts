// A lab whose pools are carried by VXLAN: pods of two nodes meet through the tunnel, and go out by the node's address.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, noLab, tortie, useLab } from './lab-under-test.ts';

const LAB = `o-${process.pid}`;
/** Tells each caller where it seems to come from. */
const TELL = `require('net').createServer((s) => s.on('error', () => 0).end(s.remoteAddress)).listen(8080)`;

function pod(name: string, node: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: lab, labels: {app: ${name}}}
spec: {nodeName: ${node}, containers: [{name: main, command: [node, -e, ${JSON.stringify(TELL)}]}]}
---`;
}

const POOLS = (mode6: string) => `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: default-ipv4-ippool}
spec: {cidr: 10.244.0.0/16, vxlanMode: Always, natOutgoing: true}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: ipv6}
spec: {cidr: 'fd00:244::/112', vxlanMode: ${mode6}, natOutgoing: true}
---`;

const MANIFESTS = `
apiVersion: lab.tortie.dev/v1
kind: Lab
spec:
  nodes: 2
  outside:
    - {name: elsewhere, addresses: [198.51.100.7, '2001:db8:51::7'], command: [node, -e, ${JSON.stringify(TELL)}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: lab}
---${POOLS('CrossSubnet')}${pod('one', 'node-1')}${pod('two', 'node-2')}
`;
const lab = useLab(LAB, MANIFESTS);

/** What the other end says; empty when there is no answer. */
async function ask(source: string, address: string): Promise<string> {
  const program = `
    const socket = require('net').connect({ host: '${address}', port: 8080, timeout: 1500 });
    socket.on('data', (data) => process.stdout.write(data));
    socket.on('timeout', () => process.exit(1));
    socket.on('error', () => process.exit(1));`;
  const run = ['lab', 'exec', '--lab', LAB, source, '--', 'node', '-e', program];
  return (await tortie(...run)).out;
}

function onNode(node: string, ...argv: string[]): string {
  const namespace = `--net=/run/netns/tortie-${LAB}--${node}`;
  try {
    return execFileSync('nsenter', [namespace, ...argv], { encoding: 'utf8', stdio: 'pipe' });
  } catch {
    return '';
  }
}

/** Packets that have come out of a node's tunnel; undefined while it has none. */
function unwrapped(node: string, device: string): number | undefined {
  const text = onNode(node, 'ip', '-s', '-j', 'link', 'show', 'dev', device);
  if (text === '') return undefined;
  const [link] = JSON.parse(text) as [{ stats64: { rx: { packets: number } } }];
  return link.stats64.rx.packets;
}

async function addressesOf(name: string): Promise<{ four: string; six: string }> {
  const { out } = await tortie('get', 'pod', name, '-n', 'lab', '-o', 'json', '--lab', LAB);
  const { status } = JSON.parse(out) as { status: { podIPs: { ip: string }[] } };
  const ips = status.podIPs.map(({ ip }) => ip);
  const [four = '', six = ''] = [false, true].map((is6) =>
    ips.find((ip) => ip.includes(':') === is6),
  );
  return { four, six };
}

test('pods of two nodes meet through the tunnel where the pool says so', {
  skip: noLab,
}, async () => {
  for (const node of ['node-1', 'node-2']) {
    await eventually(`the tunnels of ${node}`, () =>
      ['vxlan.calico', 'vxlan-v6.calico'].every((it) => unwrapped(node, it) !== undefined),
    );
  }
  const two = await addressesOf('two');
  const one = await addressesOf('one');
  await eventually('an answer', async () => (await ask('lab/one', two.four)) !== '');
  const before = unwrapped('node-2', 'vxlan.calico') ?? 0;
  assert.match(await ask('lab/one', two.four), new RegExp(`${one.four}$`), 'as itself');
  assert.ok((unwrapped('node-2', 'vxlan.calico') ?? 0) >= before + 3, 'through the tunnel');

  await eventually('an answer over IPv6', async () => (await ask('lab/one', two.six)) !== '');
  const before6 = unwrapped('node-2', 'vxlan-v6.calico');
  assert.equal(await ask('lab/one', two.six), one.six);
  assert.equal(unwrapped('node-2', 'vxlan-v6.calico'), before6, 'one subnet: no tunnel');
  const file = join(lab.folder, 'always.yaml');
  writeFileSync(file, POOLS('Always'));
  assert.equal((await tortie('apply', '-f', file, '--lab', LAB)).code, 0);
  await eventually('IPv6 through the tunnel', async () => {
    const answer = await ask('lab/one', two.six);
    return answer === one.six && (unwrapped('node-2', 'vxlan-v6.calico') ?? 0) > (before6 ?? 0);
  });
});

test('what pods send out of the cluster has the address of their node', {
  skip: noLab,
}, async () => {
  assert.match(await ask('lab/one', '198.51.100.7'), /172\.30\.0\.11$/);
  assert.match(await ask('lab/two', '198.51.100.7'), /172\.30\.0\.12$/);
  assert.match(await ask('lab/two', '2001:db8:51::7'), /fd00:30::12$/);
});

test('a new pod has room for the wrapping', { skip: noLab }, async () => {
  const file = join(lab.folder, 'three.yaml');
  writeFileSync(file, pod('three', 'node-1'));
  assert.equal((await tortie('apply', '-f', file, '--lab', LAB)).code, 0);
  await eventually('pod three', async () => (await ask('lab/three', '198.51.100.7')) !== '');
  const { out } = await tortie('lab', 'exec', '--lab', LAB, 'lab/three', '--', 'ip', 'link');
  assert.match(out, /eth0@.* mtu 1430 /);
});

test('what somebody else takes away is back long before the next resync', {
  skip: noLab,
}, async () => {
  const two = await addressesOf('two');
  onNode('node-1', 'nft', 'delete', 'table', 'inet', 'tortie');
  onNode('node-1', 'ip', 'link', 'del', 'vxlan.calico');
  await eventually('the table', () => onNode('node-1', 'nft', 'list', 'tables').includes('tortie'));
  await eventually('the tunnel', () => unwrapped('node-1', 'vxlan.calico') !== undefined);
  await eventually('an answer', async () => (await ask('lab/one', two.four)) !== '');
});
