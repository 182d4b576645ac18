// What a node says of itself is of the state that the server holds now, not of one that it held before.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { kindOf } from '#api';
import { BARE_STATE } from '#calc/dataplane-update';
import type { ApplyReport } from './apply-loop.ts';
import { type AgentStatusBody, StatusReporter } from './status-reporter.ts';

const APPLIED: ApplyReport = {
  writes: 0,
  errors: [],
  repaired: [],
  stuck: false,
  unfiltered: [],
  warnings: [],
};
const POLICY = kindOf('projectcalico.org/v3', 'NetworkPolicy');
assert.ok(POLICY);
const kind = POLICY;

function reporting(t: TestContext) {
  const sent: AgentStatusBody[] = [];
  const trouble: { error?: Error } = {};
  const reporter = new StatusReporter({
    send: async (status) => {
      if (trouble.error) throw trouble.error;
      sent.push(status);
    },
    log: () => {},
    version: '1',
    kernelWrites: () => 0,
    ready: () => true,
  });
  t.after(() => reporter.stop());
  const revision = (resourceVersion: string) => {
    const metadata = { name: 'web', namespace: 'shop', resourceVersion };
    const resource = { apiVersion: 'projectcalico.org/v3', kind: 'NetworkPolicy', metadata };
    reporter.onUpdates([{ kind, key: 'web', resource }]);
  };
  const until = async (count: number) => {
    while (sent.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
    return sent.map(({ appliedRevisions }) => Object.values(appliedRevisions)[0]);
  };
  return { reporter, sent, trouble, revision, until };
}

test('[AG2] a lost server is told nothing until an apply follows the next in-sync', async (t) => {
  const { reporter, sent, trouble, revision, until } = reporting(t);
  reporter.onStatus('in-sync');
  revision('10');
  reporter.onApplied(BARE_STATE, APPLIED);
  assert.deepEqual(await until(1), ['10']);
  trouble.error = new Error('connection refused');
  revision('11');
  reporter.onApplied(BARE_STATE, APPLIED);
  reporter.onStatus('resync');
  delete trouble.error;
  // Drift is repaired meanwhile.
  reporter.onApplied(BARE_STATE, APPLIED);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(sent.length, 1);
  reporter.onStatus('in-sync');
  revision('12');
  reporter.onApplied(BARE_STATE, APPLIED);
  assert.deepEqual(await until(2), ['10', '12']);
});
