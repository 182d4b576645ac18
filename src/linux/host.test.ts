// Old kernels, other systems and missing rights are told in words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostProblems } from './host.ts';

test('what a machine lacks is told at once', () => {
  const host = { platform: 'linux', kernel: '5.10.0-28-amd64', userId: 0 };
  assert.deepEqual(hostProblems(host, 'changes the kernel'), []);
  assert.deepEqual(hostProblems({ ...host, kernel: '6.1.0' }, 'changes the kernel'), []);
  assert.match(
    hostProblems({ ...host, kernel: '5.9.16' }, 'changes the kernel')[0] ?? '',
    /Linux 5\.10 or newer, this is 5\.9\.16/,
  );
  assert.equal(
    hostProblems({ ...host, kernel: '4.19.0', userId: 1000 }, 'changes the kernel').length,
    2,
  );
  assert.match(
    hostProblems({ ...host, platform: 'darwin' }, 'changes the kernel')[0] ?? '',
    /needs Linux, this is darwin/,
  );
});
