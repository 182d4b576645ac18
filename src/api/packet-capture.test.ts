// What a PacketCapture may say, and what is said of one that says something else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { captureTime } from './packet-capture.ts';
import { validateResource } from './validate-resource.ts';

function problemsOf(spec: object, annotations?: Record<string, string>): string[] {
  const resource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'PacketCapture',
    metadata: { name: 'web', namespace: 'shop', ...(annotations && { annotations }) },
    spec,
  };
  return validateResource(resource).problems.map(({ path, message }) => `${path} ${message}`);
}

test('a capture of everything, and one with all there is', () => {
  assert.deepEqual(problemsOf({}), []);
  const spec = {
    selector: 'app == "web"',
    filters: [
      { protocol: 'TCP', ports: [80, '8000:8100'] },
      { protocol: 'ICMP' },
      { protocol: 132, ports: [9] },
      { ports: ['53:53'] },
    ],
    startTime: '2026-01-31T12:00:00Z',
    endTime: '2026-01-31T13:00:00.5+00:30',
  };
  assert.deepEqual(problemsOf(spec, { 'capture.tortie.dev/verdict': 'deny' }), []);
});

test('names of ports, ranges that are none and protocols without ports are refused', () => {
  const ports = (...list: unknown[]) => problemsOf({ filters: [{ protocol: 'UDP', ports: list }] });
  assert.match(ports('http').join(), /spec\.filters\[0\]\.ports\[0\].*"http"/);
  assert.match(ports('90:80').join(), /"90:80" ends before it begins/);
  assert.match(ports(0).join(), /spec\.filters\[0\]\.ports\[0\]/);
  assert.match(ports(70000).join(), /spec\.filters\[0\]\.ports\[0\]/);
  assert.match(
    problemsOf({ filters: [{ protocol: 'ICMP', ports: [80] }] }).join(),
    /spec\.filters\[0\]\.ports protocol "ICMP" has no ports; leave them out/,
  );
  assert.match(problemsOf({ filters: [{ protocol: 'IPX' }] }).join(), /protocol.*IPX/);
  assert.match(problemsOf({ selector: 'app ==' }).join(), /spec\.selector/);
});

test('times are RFC 3339 and in order; only denied packets can be asked for', () => {
  const said = problemsOf({ startTime: 'tomorrow', endTime: '2026-01-31' });
  assert.equal(said.length, 2);
  assert.match(said.join(), /spec\.startTime "tomorrow" is no RFC 3339 time/);
  const [start, end] = ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00+01:00'];
  assert.match(
    problemsOf({ startTime: start, endTime: end }).join(),
    /spec\.endTime .* is not after startTime/,
  );
  assert.match(
    problemsOf({}, { 'capture.tortie.dev/verdict': 'allow' }).join(),
    /"allow" cannot be captured; only "deny" can/,
  );
  assert.equal(captureTime('2026-01-31t12:00:00z'), Date.UTC(2026, 0, 31, 12));
  assert.equal(captureTime('2026-02-31T25:00:00Z'), undefined);
});
