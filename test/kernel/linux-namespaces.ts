// Namespaces for the kernel tests of linux: made for one test, joined by veths, always removed.

import { execFileSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { RouteSocket, createNamespace, deleteNamespace, openNamespace } from '#linux';

let count = 0;

/** A namespace of this test: `name` for `ip -n`, `fd` for Tortie, `route` on it. */
export interface TestNamespace {
  readonly name: string;
  readonly path: string;
  readonly fd: number;
  readonly route: RouteSocket;
}

/** Makes a namespace with loopback up; it goes away with the test. */
export function makeNamespace(t: TestContext): TestNamespace {
  const name = `tortie-t-${process.pid}-${++count}`;
  const path = `/run/netns/${name}`;
  createNamespace(path);
  t.after(() => deleteNamespace(path));
  const fd = openNamespace(path);
  t.after(() => closeSync(fd));
  const route = RouteSocket.open({ namespace: fd });
  t.after(() => route.close());
  route.setUp('lo');
  return { name, path, fd, route };
}

/** Two namespaces joined by the veth pair `left0`/`right0`, 10.99.0.0/24 and fd99::/64, both up. */
export function makePair(t: TestContext): { left: TestNamespace; right: TestNamespace } {
  const left = makeNamespace(t);
  const right = makeNamespace(t);
  left.route.createVeth({ name: 'left0', peerName: 'right0', peerNamespace: right.fd });
  const ends = [
    [left, 'left0', 1],
    [right, 'right0', 2],
  ] as const;
  for (const [namespace, link, host] of ends) {
    namespace.route.addAddress(link, `10.99.0.${host}/24`);
    namespace.route.addAddress(link, `fd99::${host}/64`, { noDad: true });
    namespace.route.setUp(link);
  }
  return { left, right };
}

/** Runs a program inside a namespace; its output. */
export function run(namespace: TestNamespace, program: string, ...args: string[]): string {
  return execFileSync('nsenter', [`--net=${namespace.path}`, program, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** What `ip -j -d` says, as the oracle. */
export function ip(namespace: TestNamespace, ...args: string[]): Record<string, unknown>[] {
  const text = execFileSync('ip', ['-n', namespace.name, '-j', '-d', ...args], {
    encoding: 'utf8',
  });
  return text.trim() === '' ? [] : JSON.parse(text);
}

/** Loads an nftables base chain of these rules with the `nft` program, in a table of its own. */
export function loadChain(namespace: TestNamespace, chain: string, rules: readonly string[]): void {
  const ruleset = `table inet ${chain.split(' ')[0]} {\nchain c {\ntype ${chain};\n${rules.join('\n')}\n}\n}\n`;
  execFileSync('nsenter', [`--net=${namespace.path}`, 'nft', '-f', '-'], { input: ruleset });
}
