// How big packets may be: the host's interfaces that count, and what wrapping takes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Link } from '#linux';
import { BARE_STATE, type IpipTunnel, type VxlanTunnel } from '#calc/dataplane-update';
import { workloadMtu } from './mtu.ts';

const link = (name: string, mtu: number, up = true): Link => ({
  index: 1,
  name,
  mtu,
  up,
  carrier: up,
});
const LINKS = [
  link('eth0', 9000),
  link('eth1', 1400, false),
  link('lo', 65_536),
  link('ens3', 1480),
];
const tunnel = (family: 4 | 6, mtu = 0): VxlanTunnel => ({
  family,
  vni: 4096,
  port: 4789,
  mtu,
  address: family === 4 ? '10.0.0.0' : 'fd00::',
  mac: '66:00:00:00:00:01',
  underlay: family === 4 ? '192.0.2.1' : 'fd01::1',
  peers: [],
});
const mtuOf = (
  tunnels: readonly VxlanTunnel[],
  pattern?: string,
  ipip: IpipTunnel | null = null,
) => {
  const { settings } = BARE_STATE;
  const more = pattern === undefined ? {} : { mtuInterfacePattern: pattern };
  return workloadMtu({ tunnels, ipip, settings: { ...settings, ...more } }, LINKS);
};

test('it is the smallest of the interfaces that are up and match', () => {
  assert.equal(mtuOf([]), 1480);
  assert.equal(mtuOf([], '^eth'), 9000);
  assert.equal(mtuOf([], '^wlan'), 1500, 'where none is: the usual one');
});

test('wrapping takes 50 bytes over IPv4 and 70 over IPv6, unless the tunnel has an MTU of its own', () => {
  assert.equal(mtuOf([tunnel(4)]), 1430);
  assert.equal(mtuOf([tunnel(4), tunnel(6)]), 1410);
  assert.equal(mtuOf([tunnel(4, 1300), tunnel(6)]), 1300);
  const ipip: IpipTunnel = { mtu: 0, address: null, peers: [] };
  assert.equal(mtuOf([], undefined, ipip), 1460, 'IPIP takes 20');
  assert.equal(mtuOf([], undefined, { ...ipip, mtu: 1200 }), 1200);
});
