// Selectors of list requests: the whole grammar of labels, and the fields that Kubernetes' kinds have.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventKind, eventsEventKind, type KindDefinition, nodeKind, podKind } from '#api';
import { labelSelector, objectSelector } from './object-selector.ts';

const labelled = (labels: Record<string, string>) => ({ metadata: { labels } });

test('[AP15] label selectors: equality, sets, existence, order', () => {
  const object = labelled({ a: '1', 'example.com/b': 'x', empty: '', big: '1000' });
  const chosen = (text: string) => labelSelector(text)(object);
  const yes = ['a=1', 'a==1', 'a = 1', 'a!=2', 'c!=2', 'a in (1,2)', 'a in ( 1 )', 'c notin (1)'];
  const more = ['a', '!c', '! c', 'example.com/b=x', 'empty=', 'a,!c', 'a in (1),empty in ()'];
  const order = ['a>0', 'a < 2', 'big>999', 'a=1,big>=1000'.replace('>=', '>')];
  for (const text of [...yes, ...more, ...order.slice(0, 3)]) assert.ok(chosen(text), text);
  for (const text of ['a=2', 'a!=1', 'c', '!a', 'a notin (1,2)', 'c in (1)', 'c>0', 'empty<1']) {
    assert.ok(!chosen(text), text);
  }
  const wrong = ['a in 1', 'a in (1', '=1', 'a=1=2', 'a=b c', 'a>x', '-a', 'a in (b c)', 'A/b/c=1'];
  for (const text of [...wrong, `a=${'x'.repeat(64)}`, 'a,,b']) {
    assert.throws(() => labelSelector(text), /label selector/, text);
  }
});

test('[AP15] field selectors: what a kind has, its version, its absent values', () => {
  const fields = (kind: KindDefinition, fieldSelector: string) =>
    objectSelector(kind, { fieldSelector });
  const pod = {
    metadata: { name: 'p', namespace: 'n' },
    spec: { nodeName: 'n1' },
    status: { phase: 'Running', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] },
  };
  for (const text of [
    'metadata.name=p',
    'spec.nodeName!=n2,status.phase==Running',
    'status.podIPs=fd00::1',
    'spec.hostNetwork=false',
    'spec.schedulerName=',
  ]) {
    assert.ok(fields(podKind, text)?.(pod), text);
  }
  assert.ok(!fields(podKind, 'status.podIPs!=fd00::1')?.(pod));
  assert.ok(fields(nodeKind, 'spec.unschedulable=false')?.({ metadata: { name: 'n' } }));
  const event = {
    metadata: { name: 'e' },
    involvedObject: { kind: 'Pod', name: 'p', uid: 'u' },
    source: { component: 'kubelet' },
    message: 'a, b',
  };
  assert.ok(fields(eventKind, 'involvedObject.name=p,source=kubelet')?.(event));
  assert.ok(fields(eventsEventKind, 'regarding.uid=u,regarding.kind=Pod')?.(event));
  assert.throws(() => fields(eventKind, 'regarding.name=p'), /involvedObject.name/);
  assert.throws(() => fields(eventsEventKind, 'involvedObject.name=p'), /regarding.name/);
  const escaped = { metadata: { name: 'a,b=c' } };
  assert.ok(fields(podKind, String.raw`metadata.name=a\,b\=c`)?.(escaped));
  assert.throws(() => fields(podKind, String.raw`metadata.name=a\b`), /escape/);
});
