// What the flags of `tortie capture start` mean.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { captureSpec } from './capture-command.ts';

test('selector, protocol, ports and duration become a specification', () => {
  assert.deepEqual(captureSpec({}, 0), {});
  const flags = {
    selector: "app == 'web'",
    protocol: 'udpLITE',
    port: ['53', '80:90'],
    duration: '5m',
  };
  assert.deepEqual(captureSpec(flags, 0), {
    selector: "app == 'web'",
    filters: [{ protocol: 'UDPLite', ports: [53, '80:90'] }],
    endTime: '1970-01-01T00:05:00.000Z',
  });
  assert.deepEqual(captureSpec({ protocol: '132' }, 0), { filters: [{ protocol: 132 }] });
  assert.deepEqual(captureSpec({ port: ['80'] }, 0), { filters: [{ ports: [80] }] });
});

test('what cannot be meant is said', () => {
  assert.throws(() => captureSpec({ protocol: 'ipx' }, 0), /protocol "ipx": use tcp, udp, icmp/);
  assert.throws(() => captureSpec({ duration: '0s' }, 0), /duration "0s": write it like 30s or 5m/);
  assert.throws(() => captureSpec({ duration: 'soon' }, 0), /duration "soon"/);
  assert.throws(() => captureSpec({ pod: 'a', selector: 'all()' }, 0), /choose one/);
});
