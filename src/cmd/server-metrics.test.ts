// Tests of the flags of the server's metrics: TLS that is not complete is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readListenAddress } from './listen-address.ts';
import { metricsTls } from './server-metrics.ts';

const metricsListen = readListenAddress('[::1]:0');

test('TLS is none, complete or refused', () => {
  assert.deepEqual(metricsListen, { host: '::1', port: 0 });
  assert.equal(metricsTls({ metricsListen }), undefined);
  const files = { metricsCertFile: 'c', metricsKeyFile: 'k' };
  const tls = { certFile: 'c', keyFile: 'k' };
  assert.deepEqual(metricsTls({ metricsListen, ...files }), { ...tls, clientAuth: 'none' });
  assert.deepEqual(metricsTls({ metricsListen, ...files, metricsClientCaFile: 'a' }), {
    ...tls,
    caFile: 'a',
    clientAuth: 'require',
  });
  assert.throws(() => metricsTls(files), /give --metrics-listen/);
  assert.throws(() => metricsTls({ metricsListen, metricsKeyFile: 'k' }), /both needed/);
  assert.throws(() => metricsTls({ metricsListen, metricsClientCaFile: 'a' }), /both needed/);
});

test('an address without a port is refused', () => {
  for (const wrong of ['9094', 'host', ':9094', '::1:9094', '127.0.0.1:99999', '[name]:1']) {
    assert.throws(() => readListenAddress(wrong), /HOST:PORT/, wrong);
  }
});
