// Tests of which cluster is meant.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandFailure, UsageError } from './cli-error.ts';
import { chooseKubeconfig } from './connection.ts';

function clusters(running: string[], variable?: string, existing = running) {
  return {
    kubeconfigVariable: variable,
    runningLabs: () => running,
    existingLabs: () => existing,
  };
}

const KUBECONFIG_OF_A = '/run/tortie/labs/a/server/kubeconfig';

test('flags come first, then the variable, then the one lab that runs', () => {
  assert.equal(chooseKubeconfig({}, clusters(['a'])), KUBECONFIG_OF_A);
  assert.equal(chooseKubeconfig({}, clusters(['a'], '/x')), '/x');
  assert.equal(chooseKubeconfig({ lab: 'a' }, clusters(['a', 'b'], '/x')), KUBECONFIG_OF_A);
  assert.equal(chooseKubeconfig({ kubeconfig: '/y' }, clusters(['a'], '/x')), '/y');
});

test('where it is not clear, it is asked for by name', () => {
  assert.throws(() => chooseKubeconfig({}, clusters(['a', 'b'])), /a and b run: say --lab NAME/);
  assert.throws(() => chooseKubeconfig({ lab: 'a', kubeconfig: 'b' }, clusters(['a'])), UsageError);
});

test('where there is none, it says how to get one', () => {
  assert.throws(() => chooseKubeconfig({}, clusters([])), /no lab runs here; start one/);
  assert.throws(() => chooseKubeconfig({ lab: 'demi' }, clusters(['demo'])), /did you mean demo\?/);
  assert.throws(() => chooseKubeconfig({}, clusters([], undefined, ['a'])), CommandFailure);
  assert.throws(() => chooseKubeconfig({}, clusters([], undefined, ['a'])), /tortie lab down a/);
});
