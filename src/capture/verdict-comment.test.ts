// The words for prefixes of the policy log.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deniedComment, loggedVerdict } from './verdict-comment.ts';

test('[CT9] only what was denied has words, and they name the rule', () => {
  const words = (prefix: string) => deniedComment(prefix)?.replace('verdict=deny by ', '');
  assert.equal(words('DPI3|NetworkPolicy/shop/web'), 'NetworkPolicy/shop/web, ingress rule 3');
  assert.equal(words('DPE0|GlobalNetworkPolicy//x'), 'GlobalNetworkPolicy//x, egress rule 0');
  assert.equal(words('DTI|default'), 'the end of tier default, ingress');
  assert.equal(words('DNE|'), 'no profile, egress');
  assert.equal(words('DUE|'), 'an unknown interface, egress');
  for (const other of ['APE0|a', 'PPI1|a', 'DSI3|StagedNetworkPolicy/shop/web', 'mine', '']) {
    assert.equal(words(other), undefined);
  }
});

test('[CT11] what was allowed has its rule too', () => {
  assert.deepEqual(loggedVerdict('API0|NetworkPolicy/shop/web'), {
    verdict: 'allow',
    direction: 'ingress',
    by: 'NetworkPolicy/shop/web, ingress rule 0',
  });
  for (const other of ['ASI3|StagedNetworkPolicy/shop/web', 'PPI1|a', 'A', 'mine']) {
    assert.equal(loggedVerdict(other), undefined);
  }
});
