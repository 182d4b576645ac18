// Decisions of RBAC a second, and that they cost what the user's own bindings are, not how many there are.
import type { ClusterRole, RoleBinding } from '#api';
import type { Identity, ResourceAttributes } from '../src/apiserver/auth/identity.ts';
import { RbacPolicy } from '../src/apiserver/auth/rbac-policy.ts';
import { median, printFigure, printMachine, rate } from './measurement.ts';

const SECONDS = 0.5;
const TURNS = 7;
const FEW = 10;
const MANY = 100_000;
const apiVersion = 'rbac.authorization.k8s.io/v1';

/** `bindings` in one namespace, one a user, each of a role with ten rules. */
function policyOf(bindings: number): RbacPolicy {
  const policy = new RbacPolicy();
  const rules = Array.from({ length: 10 }, (_, index) => ({
    verbs: ['get', 'list', 'watch'],
    apiGroups: [''],
    resources: [`kind${index}`],
  }));
  const role: ClusterRole = { apiVersion, kind: 'ClusterRole', metadata: { name: 'r' }, rules };
  policy.set('clusterroles', { namespace: '', name: 'r' }, role);
  for (let index = 0; index < bindings; index++) {
    const name = `b${index}`;
    const binding: RoleBinding = {
      apiVersion,
      kind: 'RoleBinding',
      metadata: { name, namespace: 'shop' },
      roleRef: { kind: 'ClusterRole', name: 'r' },
      subjects: [{ kind: 'User', name: `user${index}` }],
    };
    policy.set('rolebindings', { namespace: 'shop', name }, binding);
  }
  return policy;
}

const who: Identity = { name: 'user7', groups: ['dev', 'system:authenticated'] };
const asked: ResourceAttributes = {
  verb: 'list',
  group: '',
  resource: 'kind9',
  subresource: '',
  namespace: 'shop',
  name: '',
};

function decisionsPerSecond(policy: RbacPolicy): number {
  return rate(() => {
    if (!policy.allowing(who, asked)) throw new Error('the user has been given this');
  }, SECONDS);
}

printMachine();
const policies = [policyOf(FEW), policyOf(MANY)] as const;
const turns = Array.from({ length: TURNS }, () => policies.map(decisionsPerSecond));
const few = median(turns.map(([figure = Number.NaN]) => figure));
const many = median(turns.map(([, figure = Number.NaN]) => figure));
printFigure(`decisions of a user with ten rules, among ${FEW} bindings`, few, 'a second');
const peer = { name: `among ${FEW}`, figure: few };
printFigure(`the same among ${MANY} bindings`, many, 'a second', peer);
