// Prefixes are short enough for the kernel, unique, and mean what they were made for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LogPrefixes, type RuleHit } from './log-prefix.ts';

const name = fc.string({ unit: fc.constantFrom('a', 'b', '-', '.'), minLength: 1, maxLength: 253 });
const hits = fc.record({
  action: fc.constantFrom('Allow', 'Deny', 'Pass'),
  direction: fc.constantFrom('ingress', 'egress'),
  tier: fc.constant('default'),
  policy: fc.record({
    kind: fc.constantFrom('NetworkPolicy', 'KubernetesNetworkPolicy'),
    namespace: name,
    name,
  }),
  rule: fc.nat(1000),
}) satisfies fc.Arbitrary<RuleHit>;

void test('[DP12] every prefix fits and leads back to its hit', () => {
  fc.assert(
    fc.property(fc.array(hits, { maxLength: 20 }), (list) => {
      const prefixes = new LogPrefixes();
      const texts = list.map((hit) => prefixes.prefixOf(hit, 'P'));
      for (const [index, text] of texts.entries()) {
        assert.ok(Buffer.byteLength(text) <= 120);
        assert.deepEqual(prefixes.hits.get(text), list[index]);
      }
    }),
  );
});
