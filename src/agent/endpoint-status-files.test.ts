// Files of workloads that are enforced: whole, gone with the workload, those of a former run cleared.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LocalEndpoint } from '#calc/dataplane-update';
import { PersistentMap } from '#lib';
import { EndpointStatusFiles } from './endpoint-status-files.ts';

const endpoint = (id: string, addresses: readonly string[] = ['10.0.0.1/32']): LocalEndpoint => ({
  id,
  interfaceName: 'cali1',
  addresses,
  allowedSources: [],
  floatingAddresses: [],
  ingress: [],
  egress: [],
  profiles: [],
});
const stateOf = (...endpoints: readonly LocalEndpoint[]) => ({
  endpoints: PersistentMap.from(endpoints.map((one) => [one.id, one] as const)),
});

test('[AG21] a workload has a file from when it is enforced until it goes', (t) => {
  const prefix = mkdtempSync(join(tmpdir(), 'tortie-status-'));
  t.after(() => rmSync(prefix, { recursive: true }));
  const folder = join(prefix, 'endpoint-status');
  mkdirSync(folder);
  writeFileSync(join(folder, 'k8s shop%2Fold eth0'), '{}');
  const enforced = new Set<string>();
  const told: string[] = [];
  const files = new EndpointStatusFiles({
    isEnforced: (id) => enforced.has(id),
    log: (message) => told.push(message),
  });
  const web = endpoint('shop/web', ['10.0.0.1/32', 'fd00::1/128']);
  const state = stateOf(web, endpoint('shop/db'));
  enforced.add('shop/web');
  files.onApplied(state, prefix);
  assert.deepEqual(readdirSync(folder), ['k8s shop%2Fweb eth0'], 'and the old one has gone');
  assert.deepEqual(JSON.parse(readFileSync(join(folder, 'k8s shop%2Fweb eth0'), 'utf8')), {
    ifaceName: 'cali1',
    ipv4Nets: ['10.0.0.1/32'],
    ipv6Nets: ['fd00::1/128'],
  });
  enforced.add('shop/db');
  files.onApplied(state, prefix);
  assert.equal(readdirSync(folder).length, 2, 'the other one was waited for');
  files.onApplied(stateOf(web), prefix);
  assert.deepEqual(readdirSync(folder), ['k8s shop%2Fweb eth0']);
  files.onApplied(stateOf(web), '');
  assert.deepEqual([readdirSync(folder), told], [[], []], 'no prefix, no files');
});

test('[AG21] what cannot be written is told once, and is there later', (t) => {
  const prefix = mkdtempSync(join(tmpdir(), 'tortie-status-'));
  t.after(() => rmSync(prefix, { recursive: true }));
  const blocked = join(prefix, 'blocked');
  writeFileSync(blocked, '');
  const told: string[] = [];
  const files = new EndpointStatusFiles({
    isEnforced: () => true,
    log: (message) => told.push(message),
  });
  const state = stateOf(endpoint('shop/web'));
  files.onApplied(state, blocked);
  files.onApplied(state, blocked);
  assert.equal(told.length, 1);
  assert.match(told[0] ?? '', /^Cannot keep the files in .*endpoint-status: ENOTDIR/);
  rmSync(blocked);
  files.onApplied(state, blocked);
  assert.deepEqual(readdirSync(join(blocked, 'endpoint-status')), ['k8s shop%2Fweb eth0']);
});
