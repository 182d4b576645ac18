// Where nodes do not tell their interfaces explanations say what is true, or that it may be so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resource } from '#api';
import { jsonEqual } from '#lib';
import { buildWorld, evaluate, type Half, type Packet, type Party } from '#policy';
import { rulingsOf } from './unknown-interfaces.ts';
import { hostWorld, isCrossed, withoutInterfaces } from './world-hosts.ts';
import { BEYOND, NODES, OUTSIDE } from './world-addresses.ts';
import { podsOf } from './worlds.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WORLDS = Number(process.env['WORLDS'] ?? 100);
const STAGES = ['normal', 'forward', 'preDNAT', 'doNotTrack'] as const;

test('[PE34] what the explanation says for certain is so, in random worlds, wherever the endpoints are', () => {
  const seen = { halves: 0, doubts: 0, mistaken: 0 };
  fc.assert(
    fc.property(hostWorld(STAGES), (world) => {
      const resources = world.resources.filter((it) => !isCrossed(it));
      const [told, untold] = [resources, withoutInterfaces(resources)].map(buildWorld);
      assert.ok(told && untold);
      for (const packet of packets(resources)) {
        const truth = evaluate(told, packet);
        const guess = evaluate(untold, packet);
        for (const direction of ['egress', 'ingress'] as const) {
          assert.equal(truth[direction].doubt, undefined, 'what is told is certain');
          const [so] = rulingsOf(truth[direction]);
          const said = rulingsOf(guess[direction]);
          seen.halves++;
          if (guess[direction].doubt) seen.doubts++;
          if (jsonEqual(said[0], so)) continue;
          seen.mistaken++;
          const text = () => explain(packet, truth[direction], guess[direction], resources);
          assert.ok(
            said.some((it) => jsonEqual(it, so)),
            text(),
          );
        }
      }
    }),
    { seed: SEED, numRuns: WORLDS, endOnFailure: process.env['SHRINK'] === undefined },
  );
  const { halves, doubts, mistaken } = seen;
  process.stdout.write(`# ${halves} halves, ${doubts} doubts, ${mistaken} rightly, seed ${SEED}\n`);
  assert.ok(mistaken > 0 && doubts < halves / 2);
});

/** Among pods, nodes and an address outside, and through node 1 from the one interface to the other. */
function packets(resources: readonly Resource[]): Packet[] {
  const [first, second] = podsOf(resources);
  const pods = [first, second].flatMap((pod): Party[] =>
    pod
      ? [{ type: 'workload', namespace: pod.metadata.namespace ?? '', name: pod.metadata.name }]
      : [],
  );
  const nodes = NODES.map((name): Party => ({ type: 'node', name }));
  const address = (text: string): Party => ({ type: 'address', address: text });
  return ([4, 6] as const).flatMap((family) => {
    const outside = address(OUTSIDE[family]);
    const ends = [...pods, ...nodes, outside];
    const pairs = ends.flatMap((from) => ends.map((to) => ({ from, to, family })));
    const through = { node: 'node-1', in: 'eth1', out: 'eth0' };
    const ways = [...pairs, { from: address(BEYOND[family]), to: outside, family, through }];
    return ways.flatMap((way) => [
      { ...way, protocol: 6, port: 8080 },
      { ...way, protocol: 17, port: 5353 },
    ]);
  });
}

function explain(packet: Packet, truth: Half, guess: Half, resources: readonly Resource[]): string {
  const related = resources.filter(({ kind }) => /Policy|HostEndpoint|Tier/.test(kind));
  return [packet, truth, guess, ...related].map((it) => JSON.stringify(it)).join('\n');
}
