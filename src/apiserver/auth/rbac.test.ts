// RBAC rules against a slow, obvious reference at random, and that covering means what it says. SEED repeats a run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ClusterRole, PolicyRule, RoleBinding, Subject } from '#api';
import type { Attributes, Identity } from './identity.ts';
import { RbacPolicy } from './rbac-policy.ts';
import { ruleAllows, uncoveredRules } from './rbac-rules.ts';
import { aggregatedRules } from './role-aggregation.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
const RUNS = { seed, numRuns: Number(process.env['RUNS'] ?? 2000) };

const VERBS = ['get', 'list', 'create', 'delete'];
const GROUPS = ['', 'apps', 'projectcalico.org'];
const RESOURCES = ['pods', 'services', 'tiers'];
const SUBRESOURCES = ['', 'status', 'log'];
const NAMES = ['', 'a', 'b'];
const NAMESPACES = ['', 'shop', 'bank'];
const PATHS = ['/healthz', '/api', '/api/v1', '/apis/x/v1'];

const some = (items: readonly string[]) => fc.subarray([...items], { minLength: 1, maxLength: 2 });
const written = (items: readonly string[]) => some([...items, '*']);
const resourceRule: fc.Arbitrary<PolicyRule> = fc.record(
  {
    verbs: written(VERBS),
    apiGroups: written(GROUPS),
    resources: some(['*', '*/status', 'pods/*', ...RESOURCES, 'pods/log', 'tiers/status']),
    resourceNames: fc.subarray(NAMES.slice(1)),
  },
  { requiredKeys: ['verbs', 'apiGroups', 'resources'] },
);
const pathRule: fc.Arbitrary<PolicyRule> = fc.record({
  verbs: written(VERBS),
  nonResourceURLs: some(['*', '/api/*', '/api*', ...PATHS]),
});
const rule = fc.oneof({ weight: 4, arbitrary: resourceRule }, { weight: 1, arbitrary: pathRule });
const rules = fc.array(rule, { maxLength: 4 });

const resourceAttributes = fc.record({
  verb: fc.constantFrom(...VERBS),
  group: fc.constantFrom(...GROUPS),
  resource: fc.constantFrom(...RESOURCES),
  subresource: fc.constantFrom(...SUBRESOURCES),
  namespace: fc.constantFrom(...NAMESPACES),
  name: fc.constantFrom(...NAMES),
});
const attributes: fc.Arbitrary<Attributes> = fc.oneof(
  resourceAttributes,
  fc.record({ verb: fc.constantFrom(...VERBS), path: fc.constantFrom(...PATHS) }),
);

const subject: fc.Arbitrary<Subject> = fc.oneof(
  fc.record({ kind: fc.constant('User' as const), name: fc.constantFrom('alice', 'bob') }),
  fc.record({ kind: fc.constant('Group' as const), name: fc.constantFrom('dev', 'ops') }),
  fc.record(
    {
      kind: fc.constant('ServiceAccount' as const),
      name: fc.constantFrom('robot', 'front'),
      namespace: fc.constantFrom('shop', 'bank'),
    },
    { requiredKeys: ['kind', 'name'] },
  ),
);
const identity: fc.Arbitrary<Identity> = fc.record({
  name: fc.constantFrom(
    'alice',
    'bob',
    'carol',
    'system:serviceaccount:shop:robot',
    'system:serviceaccount:bank:front',
  ),
  groups: fc.subarray(['dev', 'ops', 'other']),
});

interface Role {
  readonly kind: 'Role' | 'ClusterRole';
  readonly namespace: string;
  readonly name: string;
  readonly rules: readonly PolicyRule[];
}

interface Binding {
  readonly namespace: string;
  readonly subjects: readonly Subject[];
  readonly role: Pick<Role, 'kind' | 'name'>;
}

const roleName = fc.constantFrom('r1', 'r2', 'r3');
const roleKind = fc.constantFrom('Role' as const, 'ClusterRole' as const);
const role: fc.Arbitrary<Role> = fc
  .record({ kind: roleKind, namespace: fc.constantFrom('shop', 'bank'), name: roleName, rules })
  .map((one) => (one.kind === 'Role' ? one : { ...one, namespace: '' }));
const binding: fc.Arbitrary<Binding> = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  subjects: fc.array(subject, { minLength: 1, maxLength: 3 }),
  role: fc.record({ kind: roleKind, name: roleName }),
});

/** Word for word what Kubernetes' documentation says, for each part on its own. */
function referenceRule(one: PolicyRule, asked: Attributes): boolean {
  const anyOf = (
    list: readonly string[] | undefined,
    matches: (item: string) => boolean,
  ): boolean => (list ?? []).filter((item) => matches(item)).length > 0;
  if (!anyOf(one.verbs, (verb) => verb === '*' || verb === asked.verb)) return false;
  if ('path' in asked) {
    return anyOf(one.nonResourceURLs, (pattern) => {
      const escaped = pattern.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
      return new RegExp(`^${escaped.replace(/\\\*$/, '.*')}$`).test(asked.path);
    });
  }
  const { group, resource, subresource, name } = asked;
  if (!anyOf(one.apiGroups, (item) => item === '*' || item === group)) return false;
  const wanted = subresource === '' ? resource : `${resource}/${subresource}`;
  const resourceFits = anyOf(one.resources, (item) => {
    if (item === '*' || item === wanted) return true;
    return subresource !== '' && item === `*/${subresource}`;
  });
  if (!resourceFits) return false;
  const names = one.resourceNames ?? [];
  return names.length === 0 || anyOf(names, (item) => item === name);
}

function referenceAllows(
  all: { readonly roles: readonly Role[]; readonly bindings: readonly Binding[] },
  who: Identity,
  asked: Attributes,
): boolean {
  return all.bindings.some((one) => {
    const isClusterBinding = one.namespace === '';
    if (isClusterBinding && one.role.kind === 'Role') return false;
    const place = 'path' in asked ? '' : asked.namespace;
    if (!isClusterBinding && one.namespace !== place) return false;
    const isBound = one.subjects.some(({ kind, name, namespace }) => {
      if (kind === 'User') return who.name === name;
      if (kind === 'Group') return who.groups.includes(name);
      const home = namespace ?? one.namespace;
      return home !== '' && who.name === `system:serviceaccount:${home}:${name}`;
    });
    // Of roles with the same name the last is the one that is stored.
    const found = all.roles.findLast(({ kind, namespace, name }) => {
      const home = one.role.kind === 'Role' ? one.namespace : '';
      return kind === one.role.kind && name === one.role.name && namespace === home;
    });
    return isBound && (found?.rules ?? []).some((each) => referenceRule(each, asked));
  });
}

function policyOf({ roles, bindings }: { roles: readonly Role[]; bindings: readonly Binding[] }) {
  const policy = new RbacPolicy();
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  for (const { kind, namespace, name, rules: own } of roles) {
    const plural = kind === 'Role' ? 'roles' : 'clusterroles';
    const object = { apiVersion, kind, metadata: { name, namespace }, rules: own };
    policy.set(plural, { namespace, name }, object);
  }
  for (const [index, { namespace, subjects, role: roleRef }] of bindings.entries()) {
    const isCluster = namespace === '';
    // The API refuses such bindings.
    if (isCluster && roleRef.kind === 'Role') continue;
    const kind = isCluster ? 'ClusterRoleBinding' : 'RoleBinding';
    const plural = isCluster ? 'clusterrolebindings' : 'rolebindings';
    const name = `b${index}`;
    const object = { apiVersion, kind, metadata: { name, namespace }, roleRef, subjects };
    // What was before it, and what comes and goes beside it, must leave nothing.
    const other = [{ kind: 'Group', name: index % 2 === 0 ? 'dev' : 'other' }];
    const before = { ...object, subjects: other, metadata: { name, namespace } };
    policy.set(plural, { namespace, name }, before as unknown as RoleBinding);
    policy.set(plural, { namespace, name }, object as unknown as RoleBinding);
    policy.set(plural, { namespace, name: 'gone' }, before as unknown as RoleBinding);
    policy.set(plural, { namespace, name: 'gone' });
  }
  return policy;
}

test(`[AZ7] random roles and bindings are judged as the reference does (SEED=${seed})`, () => {
  let allowed = 0;
  const world = fc.record({
    roles: fc.array(role, { minLength: 1, maxLength: 6 }),
    bindings: fc.array(binding, { minLength: 1, maxLength: 6 }),
  });
  const questions = fc.array(fc.tuple(identity, attributes), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(world, questions, (all, asked) => {
      const policy = policyOf(all);
      for (const [who, what] of asked) {
        const wanted = referenceAllows(all, who, what);
        if (wanted) allowed++;
        assert.equal(policy.allowing(who, what) !== undefined, wanted);
      }
    }),
    RUNS,
  );
  assert.ok(allowed > 100, `only ${allowed} requests were allowed; the test says little`);
});

test(`[AZ9] rules that are covered allow nothing that their owner may not (SEED=${seed})`, () => {
  let covered = 0;
  const asked = fc.array(attributes, { minLength: 20, maxLength: 40 });
  fc.assert(
    fc.property(rules, rules, asked, (owned, wanted, questions) => {
      const missing = uncoveredRules(owned, wanted);
      for (const what of questions) {
        if (!wanted.some((one) => ruleAllows(one, what))) continue;
        if (missing.some((one) => ruleAllows(one, what))) continue;
        covered++;
        assert.ok(
          owned.some((one) => ruleAllows(one, what)),
          JSON.stringify(what),
        );
      }
      assert.deepEqual(uncoveredRules(wanted, wanted), [], 'everybody has what they have');
      assert.deepEqual(uncoveredRules([...owned, ...missing], wanted), []);
    }),
    RUNS,
  );
  assert.ok(covered > 50, `only ${covered} requests were covered; the test says little`);
});

test('[AZ8] what aggregates holds the rules of what it selects, through others too', () => {
  const make = (name: string, labels: Record<string, string>, rest: object): ClusterRole => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name, labels },
    ...rest,
  });
  const get = { verbs: ['get'], apiGroups: [''], resources: ['pods'] };
  const list = { ...get, verbs: ['list'] };
  const chooses = (key: string): object => ({
    aggregationRule: {
      clusterRoleSelectors: [
        { matchLabels: { [key]: 'true' } },
        { matchExpressions: [{ key: `${key}-too`, operator: 'Exists' }] },
      ],
    },
  });
  const roles = [
    make('get', { view: 'true' }, { rules: [get] }),
    make('list', { 'view-too': '' }, { rules: [list, get] }),
    make('other', { view: 'false' }, { rules: [{ ...get, verbs: ['delete'] }] }),
    make('view', { edit: 'true' }, { rules: [], ...chooses('view') }),
    make('edit', {}, { rules: [{ ...get, verbs: ['delete'] }], ...chooses('edit') }),
  ];
  let now = roles;
  for (let round = 0; round < 3; round++) {
    const changes = aggregatedRules(now);
    now = now.map((one) => (changes.has(one) ? { ...one, rules: changes.get(one) ?? [] } : one));
  }
  assert.equal(aggregatedRules(now).size, 0);
  assert.deepEqual(now.find(({ metadata }) => metadata.name === 'view')?.rules, [get, list]);
  assert.deepEqual(now.find(({ metadata }) => metadata.name === 'edit')?.rules, [get, list]);
});
