// Tests of sockets that are handed down: which serve what, and whose they are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handedDown } from './handed-down.ts';

test('sockets named metrics serve metrics, others the API, another process’ nothing', () => {
  assert.deepEqual(handedDown({}, 7), { api: [], metrics: [] });
  assert.deepEqual(handedDown({ LISTEN_FDS: '2' }, 7), { api: [3, 4], metrics: [] });
  const names = { LISTEN_FDS: '3', LISTEN_FDNAMES: 'api:metrics:metricsx' };
  assert.deepEqual(handedDown(names, 7), { api: [3, 5], metrics: [4] });
  assert.deepEqual(handedDown({ ...names, LISTEN_PID: '7' }, 7).metrics, [4]);
  assert.deepEqual(handedDown({ ...names, LISTEN_PID: '8' }, 7), { api: [], metrics: [] });
});
