// Calico's keys and JSON in etcd: each form by an example, and nothing lost on the way there and back.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { StoredObject, StoreKey } from '../store.ts';
import { decodeValue, encodeValue, etcdKeyOf, storeKeyOf } from './calico-layout.ts';

const V3 = '/calico/resources/v3/projectcalico.org';

interface Example {
  readonly key: StoreKey;
  readonly value: StoredObject;
  readonly path: string;
  /** What of the JSON is Calico's own. */
  readonly json: Readonly<Record<string, unknown>>;
}

const calico = (plural: string, name: string, namespace = ''): StoreKey => ({
  kind: `${plural}.projectcalico.org`,
  namespace,
  name,
});

function object(kind: string, name: string, spec: object, namespace?: string): StoredObject {
  const place = namespace === undefined ? {} : { namespace };
  const metadata = { name, ...place, uid: '9c2f', creationTimestamp: '2026-01-02T03:04:05Z' };
  return { apiVersion: 'projectcalico.org/v3', kind, metadata, spec };
}

const policy = object('NetworkPolicy', 'web', { selector: 'all()' }, 'shop');
const tier = object('Tier', 'ops', { order: 5 });
const block = object('IPAMBlock', '10-0-0-0-30', {
  cidr: '10.0.0.0/30',
  affinity: 'host:n1',
  allocations: [0, null, null, null],
  unallocated: [1, 2, 3],
  attributes: [{ handle_id: 'k8s.abc', secondary: { pod: 'p', namespace: 'shop' } }],
  sequenceNumber: 7,
  sequenceNumberForAllocation: { 0: 6 },
  deleted: false,
});
const block6 = object('IPAMBlock', 'fd00-10--40-122', {
  cidr: 'fd00:10::40/122',
  affinity: null,
  allocations: [],
  unallocated: [],
  attributes: [],
  sequenceNumber: 0,
  sequenceNumberForAllocation: {},
  deleted: false,
});
const handle = object('IPAMHandle', 'k8s-pod-network.abcd', {
  handleID: 'k8s-pod-network.ABCD',
  block: { '10.0.0.0/30': 1 },
  deleted: false,
});
const affinity = object('BlockAffinity', 'n-1-10-0-0-0-30', {
  state: 'confirmed',
  node: 'n-1',
  type: 'host',
  cidr: '10.0.0.0/30',
  deleted: false,
});
const affinity6 = object('BlockAffinity', 'virtual-lb-fd00-10--40-122', {
  state: 'pending',
  node: 'lb',
  type: 'virtual',
  cidr: 'fd00:10::40/122',
  deleted: false,
});
const settings = object('IPAMConfiguration', 'default', {
  strictAffinity: true,
  autoAllocateBlocks: false,
  maxBlocksPerHost: 4,
});
const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'shop' }, spec: {} };
const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } };

const specOf = ({ spec }: StoredObject): Record<string, unknown> => ({ ...Object(spec) });

const EXAMPLES: readonly Example[] = [
  {
    key: calico('networkpolicies', 'web', 'shop'),
    value: policy,
    path: `${V3}/networkpolicies/shop/web`,
    json: policy,
  },
  { key: calico('tiers', 'ops'), value: tier, path: `${V3}/tiers/ops`, json: tier },
  {
    key: calico('ipamblocks', '10-0-0-0-30'),
    value: block,
    path: '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30',
    json: specOf(block),
  },
  {
    key: calico('ipamblocks', 'fd00-10--40-122'),
    value: block6,
    path: '/calico/ipam/v2/assignment/ipv6/block/fd00:10::40-122',
    json: specOf(block6),
  },
  {
    key: calico('ipamhandles', 'k8s-pod-network.abcd'),
    value: handle,
    path: '/calico/ipam/v2/handle/k8s-pod-network.ABCD',
    json: { block: { '10.0.0.0/30': 1 }, deleted: false },
  },
  {
    key: calico('blockaffinities', 'n-1-10-0-0-0-30'),
    value: affinity,
    path: '/calico/ipam/v2/host/n-1/ipv4/block/10.0.0.0-30',
    json: { state: 'confirmed', deleted: false },
  },
  {
    key: calico('blockaffinities', 'virtual-lb-fd00-10--40-122'),
    value: affinity6,
    path: '/calico/ipam/v2/virtual/lb/ipv6/block/fd00:10::40-122',
    json: { state: 'pending', deleted: false },
  },
  {
    key: calico('ipamconfigurations', 'default'),
    value: settings,
    path: '/calico/ipam/v2/config',
    json: { strict_affinity: true, auto_allocate_blocks: false, maxBlocksPerHost: 4 },
  },
  {
    key: { kind: 'pods', namespace: 'shop', name: 'p' },
    value: pod,
    path: '/calico/tortie/v1/pods/shop/p',
    json: pod,
  },
  {
    key: { kind: 'nodes', namespace: '', name: 'n1' },
    value: node,
    path: '/calico/tortie/v1/nodes//n1',
    json: node,
  },
  {
    key: { kind: 'networkpolicies.networking.k8s.io', namespace: 'shop', name: 'a' },
    value: pod,
    path: '/calico/tortie/v1/networkpolicies.networking.k8s.io/shop/a',
    json: pod,
  },
];

const pairOf = (key: string, value: string, createRevision = 3) => ({
  key,
  value,
  createRevision,
  modRevision: 9,
});

suite('calico layout', () => {
  test("[ET1] every kind has Calico's key and JSON, or a place among our own", () => {
    for (const { key, value, path, json } of EXAMPLES) {
      assert.equal(etcdKeyOf(key, value), path);
      assert.deepEqual(storeKeyOf(path), key);
      const written: Record<string, unknown> = JSON.parse(encodeValue(path, key, value));
      const { metadata } = written;
      assert.deepEqual(metadata, value['metadata']);
      assert.deepEqual({ ...written, metadata: null }, { ...json, metadata: null });
      const { text: _, ...read } = decodeValue(pairOf(path, JSON.stringify(written))) ?? {};
      assert.deepEqual(read, { key, value });
    }
  });

  test('what Calico writes without metadata gets a uid that stays while the key lives', () => {
    const path = '/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-26';
    const text = '{"state":"confirmed","deleted":false}';
    const first = decodeValue(pairOf(path, text));
    assert.deepEqual(first?.value['spec'], {
      state: 'confirmed',
      deleted: false,
      node: 'n1',
      type: 'host',
      cidr: '10.0.0.0/26',
    });
    assert.deepEqual(decodeValue({ ...pairOf(path, text), modRevision: 12 }), first);
    assert.notDeepEqual(decodeValue(pairOf(path, text, 11))?.value, first?.value);
    const { uid = '' } = Object(first?.value['metadata']);
    assert.match(uid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('what Go writes as null, or leaves out, is read as Calico reads it', () => {
    const blockPath = '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-32';
    const text =
      '{"cidr":"10.0.0.0/32","affinity":null,"allocations":[null],"unallocated":null,' +
      '"attributes":null,"deleted":false,"hostAffinity":"n1"}';
    assert.deepEqual(decodeValue(pairOf(blockPath, text))?.value['spec'], {
      cidr: '10.0.0.0/32',
      affinity: 'host:n1',
      allocations: [null],
      unallocated: [],
      attributes: [],
      sequenceNumberForAllocation: {},
      deleted: false,
    });
    const config = decodeValue(pairOf('/calico/ipam/v2/config', '{"auto_allocate_blocks":true}'));
    assert.deepEqual(config?.value['spec'], { strictAffinity: false, autoAllocateBlocks: true });
  });

  test("an object of address management with a name that is not Calico's stands among our own", () => {
    const key = calico('blockaffinities', 'mine');
    const path = etcdKeyOf(key, affinity) ?? '';
    assert.equal(path, '/calico/tortie/v1/blockaffinities.projectcalico.org//mine');
    assert.deepEqual(storeKeyOf(path), key);
    assert.deepEqual(decodeValue(pairOf(path, encodeValue(path, key, affinity)))?.value, affinity);
    assert.equal(etcdKeyOf(key, undefined), undefined);
  });

  test('keys of no object are none, and values that are none are told', () => {
    for (const path of [
      '/calico/felix/v1/host/n1/endpoint/eth0',
      `${V3}/tiers`,
      `${V3}/tiers/`,
      `${V3}/networkpolicies/a/b/c`,
      `${V3}/ipamblocks/10-0-0-0-26`,
      '/calico/ipam/v2/assignment/ipv4/block/nonsense',
      '/calico/tortie/fence',
      '/calico/tortie/v1/pods/shop',
    ]) {
      assert.equal(storeKeyOf(path), undefined, path);
      assert.equal(decodeValue(pairOf(path, 'anything')), undefined);
    }
    for (const text of ['', '{', '[]', 'null', '"text"']) {
      assert.throws(() => decodeValue(pairOf(`${V3}/tiers/ops`, text)), Error);
    }
  });

  test('any key is found again from its place', () => {
    const segment = fc.string({ minLength: 1, unit: 'grapheme' });
    const kind = fc.constantFrom('pods', 'tiers.projectcalico.org', 'agentstatuses.tortie.dev');
    const keys = fc.record(
      { kind, namespace: fc.oneof(fc.constant(''), segment), name: segment },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(keys, (key) => {
        assert.deepEqual(storeKeyOf(etcdKeyOf(key, {}) ?? ''), key);
      }),
    );
  });
});
