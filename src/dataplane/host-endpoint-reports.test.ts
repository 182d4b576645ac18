// A host endpoint is in force when it has an interface and the kernel has all of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BARE_STATE, type HostEndpoint } from '#calc/dataplane-update';
import { hostEndpointReports } from './host-endpoint-reports.ts';
import { rulesetOf } from './rules/ruleset.ts';

const NONE = { ingress: [], egress: [] };

function endpoint(id: string, interfaceName: string | null, addresses: string[] = []) {
  const stages = { untracked: NONE, preDnat: [], forward: NONE, normal: NONE };
  return [id, { id, interfaceName, addresses, ...stages, profiles: [] }] as [string, HostEndpoint];
}

const state = {
  ...BARE_STATE,
  hostEndpoints: new Map([
    endpoint('a-named', 'eth0'),
    endpoint('b-again', 'eth0'),
    endpoint('c-found', null, ['192.0.2.1']),
    endpoint('d-lost', null, ['192.0.2.9']),
    endpoint('e-all', '*'),
  ]),
};
const addresses = [{ interface: 'eth1', prefix: '192.0.2.1/24' }];
const ruleset = rulesetOf(state, addresses);

test('[DP70] each host endpoint tells its interface, or why it has none', () => {
  const asked: string[] = [];
  const holds = (chain: string) => asked.push(chain) > 0;
  const reports = hostEndpointReports(state, { addresses, ruleset, refused: [], holds });
  assert.deepEqual(
    reports.map(({ id, interfaceName }) => [id, interfaceName]),
    [
      ['a-named', 'eth0'],
      ['b-again', null],
      ['c-found', 'eth1'],
      ['d-lost', null],
      ['e-all', '*'],
    ],
  );
  assert.match(reports[1]?.error ?? '', /cannot govern interface "eth0": a-named does/);
  assert.match(reports[3]?.error ?? '', /cannot find an interface .* 192\.0\.2\.9/);
  assert.deepEqual(
    reports.flatMap(({ error }) => error ?? []).length,
    2,
    'the others are in force, and the kernel is not asked',
  );
  assert.deepEqual(asked, []);
});

test('[DP70] what the kernel refused of one is told of that one, what all need of all', () => {
  const refusal = {
    what: 'HostEndpoint a-named normal ingress (chain hni-eth0)',
    message: 'ENOENT',
  };
  const of = (isRefused: (chain: string) => boolean) =>
    hostEndpointReports(state, {
      addresses,
      ruleset,
      refused: [{ what: 'policy', message: 'no' }, refusal],
      holds: (chain) => !isRefused(chain),
    }).map(({ error }) => error);
  const [own, , other, , all] = of((chain) => chain === 'hni-eth0');
  assert.equal(own, `${refusal.what}: ENOENT`);
  assert.deepEqual([other, all], [undefined, undefined]);
  assert.equal(of((chain) => chain === 'normal-egress')[2], 'policy: no');
  assert.equal(of((chain) => chain === 'hno-/all')[4], 'policy: no');
});
