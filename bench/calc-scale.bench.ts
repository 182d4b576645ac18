// The calculation of one host in big clusters: loading, memory, and what one change costs; SCALE=name runs one alone.
import { kindOf, type KindDefinition, type Resource } from '#api';
import { CalcGraph } from '#calc';
import type { SyncerUpdate } from '#datastore/syncer';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { median, printFigure, printMachine, timed } from './measurement.ts';

const HOST = 'node-0';
const CHANGES = 50;
const APPS = ['web', 'api', 'cart', 'db', 'jobs', 'mail', 'auth', 'blog', 'feed', 'chat'];
const ONLY = process.env['SCALE'];

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function kind(apiVersion: string, name: string): KindDefinition {
  const found = kindOf(apiVersion, name);
  if (!found) throw new Error(`no kind ${apiVersion} ${name}`);
  return found;
}

const POD = kind('v1', 'Pod');
const NAMESPACE = kind('v1', 'Namespace');
const POLICY = kind('projectcalico.org/v3', 'NetworkPolicy');
const GLOBAL_POLICY = kind('projectcalico.org/v3', 'GlobalNetworkPolicy');
const GLOBAL_SET = kind('projectcalico.org/v3', 'GlobalNetworkSet');

function updateOf(definition: KindDefinition, path: string, rest: object): SyncerUpdate {
  const [name = '', namespace] = path.split('/').reverse();
  const { labels, ...fields } = rest as { readonly labels?: object };
  const resource = {
    apiVersion: definition.group ? `${definition.group}/${definition.version}` : 'v1',
    kind: definition.kind,
    metadata: { name, ...(namespace && { namespace }), ...(labels && { labels }) },
    ...fields,
  } as Resource;
  return { kind: definition, key: path, resource };
}

/** The labels that a Deployment's pod has in practice; `more` are the case's own. */
function pod(path: string, number: number, node: string, more: object): SyncerUpdate {
  const ip = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
  return updateOf(POD, path, {
    labels: { 'pod-template-hash': `h${number % 977}`, 'app.kubernetes.io/part-of': 'x', ...more },
    spec: {
      nodeName: node,
      serviceAccountName: 'default',
      containers: [{ name: 'main', ports: [{ name: 'http', containerPort: 8080 }] }],
    },
    status: { phase: 'Running', podIPs: [{ ip }] },
  });
}

const namespace = (name: string): SyncerUpdate =>
  updateOf(NAMESPACE, name, { labels: { 'kubernetes.io/metadata.name': name } });

interface Scale {
  readonly name: string;
  /** Endpoints that it has in all. */
  readonly endpoints: number;
  readonly load: () => Iterable<SyncerUpdate>;
  /** One change each; the first is the one that nothing asks about. */
  readonly changes: Readonly<Record<string, (turn: number) => SyncerUpdate>>;
}

const app = (index: number) => APPS[index % APPS.length] ?? '';
/** Of `local` endpoints on this host every `total / local`-th is there. */
const nodeOf = (index: number, total: number, local: number) =>
  index % Math.trunc(total / local) === 0 ? HOST : `node-${(index % 5000) + 1}`;

function podsIn(total: number, local: number, aNamespace: number) {
  const pathOf = (index: number) => `n${Math.trunc(index / aNamespace)}/p${index}`;
  return (index: number, more: object = {}) =>
    pod(pathOf(index), index, nodeOf(index, total, local), { app: app(index), ...more });
}

function policyOf(path: string, selector: string, source: string): SyncerUpdate {
  const destination = { ports: [80, 443] };
  return updateOf(POLICY, path, {
    spec: {
      selector,
      types: ['Ingress'],
      ingress: [{ action: 'Allow', protocol: 'TCP', source: { selector: source }, destination }],
    },
  });
}

function namespacedCluster(
  total: number,
  local: number,
  aNamespace: number,
  policies: number,
): Scale {
  const count = total / aNamespace;
  const podOf = podsIn(total, local, aNamespace);
  const each = policies / count;
  const policy = (index: number, source = app(index + 1)) =>
    policyOf(
      `n${Math.trunc(index / each)}/policy-${index}`,
      `app == "${app(index)}"`,
      `app == "${source}"`,
    );
  return {
    name: `${local} local endpoints of ${total}, ${policies} policies`,
    endpoints: total,
    *load() {
      for (let index = 0; index < count; index++) yield namespace(`n${index}`);
      for (let index = 0; index < policies; index++) yield policy(index);
      for (let index = 0; index < total; index++) yield podOf(index);
    },
    changes: {
      'a label that nothing asks for, elsewhere': (turn) => podOf(1, { turn: `${turn}` }),
      'app of an endpoint elsewhere, in sets of this host': (turn) => podOf(2, { app: app(turn) }),
      'app of an endpoint of this host': (turn) => podOf(0, { app: app(turn) }),
      'source of a policy in force': (turn) => policy(0, app(turn)),
      'source of a policy that is not': (turn) => policy(each * aNamespace + 1, app(turn)),
    },
  };
}

/** Every policy asks for clients of its own, anywhere in the cluster. */
function manySelectors(count: number): Scale {
  const podOf = podsIn(20_000, 200, 100);
  const policy = (index: number) =>
    updateOf(GLOBAL_POLICY, `g${index}`, {
      spec: {
        selector: `team == "t${index % 200}"`,
        types: ['Ingress'],
        ingress: [{ action: 'Allow', source: { selector: `client == "c${index}"` } }],
      },
    });
  return {
    name: `${count} selectors`,
    endpoints: 20_000,
    *load() {
      for (let index = 0; index < 200; index++) yield namespace(`n${index}`);
      for (let index = 0; index < count; index++) yield policy(index);
      for (let index = 0; index < 20_000; index++) yield podOf(index, teamOf(index));
    },
    changes: {
      'a label that nothing asks for': (turn) => podOf(1, { ...teamOf(1), turn: `${turn}` }),
      [FROM_ONE_TO_ANOTHER]: (turn) => podOf(1, { team: 't1', client: `c${turn}` }),
    },
  };
}

const FROM_ONE_TO_ANOTHER = 'one endpoint, from one selector to another';

const teamOf = (index: number) => ({ team: `t${index / 100}`, client: `c${index % 10_000}` });

/** 100,000 namespaces of two pods and one policy each, that know nothing of each other. */
function isolatedCustomers(): Scale {
  const count = 100_000;
  const podOf = podsIn(2 * count, 200, 2);
  const policy = (index: number, source: string) => policyOf(`n${index}/only`, 'all()', source);
  return {
    name: '100,000 isolated customers',
    endpoints: 2 * count,
    *load() {
      for (let index = 0; index < count; index++) {
        yield namespace(`n${index}`);
        yield policy(index, 'all()');
        yield podOf(2 * index);
        yield podOf(2 * index + 1);
      }
    },
    changes: {
      'a label that nothing asks for, elsewhere': (turn) => podOf(11, { turn: `${turn}` }),
      'an address of a customer of this host': (turn) =>
        pod('n0/p1', 2 * count + turn, 'node-2', { app: 'api' }),
      'a policy of a customer elsewhere': (turn) => policy(7, `app == "${app(turn)}"`),
      'a policy of a customer of this host': (turn) => policy(0, `app == "${app(turn)}"`),
    },
  };
}

/** 1,000 policies, each with a set of 50 prefixes of its own; all apply to the 200 endpoints of this host. */
function networkSets(): Scale {
  const podOf = podsIn(10_000, 200, 100);
  const set = (index: number, extra = 0) =>
    updateOf(GLOBAL_SET, `set-${index}`, {
      labels: { feed: `f${index}` },
      spec: {
        nets: Array.from(
          { length: 50 + extra },
          (_, net) => `100.${index >> 8}.${index & 255}.${net}/32`,
        ),
      },
    });
  const policy = (index: number, action = 'Allow') =>
    updateOf(GLOBAL_POLICY, `g${index}`, {
      spec: {
        selector: 'has(app)',
        types: ['Egress'],
        egress: [{ action, destination: { selector: `feed == "f${index}"` } }],
      },
    });
  return {
    name: '1,000 network-set policies',
    endpoints: 10_000,
    *load() {
      for (let index = 0; index < 100; index++) yield namespace(`n${index}`);
      for (let index = 0; index < 10_000; index++) yield podOf(index);
      for (let index = 0; index < 1000; index++) yield set(index);
      for (let index = 0; index < 1000; index++) yield policy(index);
    },
    changes: {
      'a label that nothing asks for': (turn) => podOf(1, { turn: `${turn}` }),
      'prefixes of one set': (turn) => set(5, turn % 5),
      'a rule of one policy': (turn) => policy(5, turn % 2 === 0 ? 'Allow' : 'Deny'),
    },
  };
}

/** 100 policies over the whole cluster, each with a set of a tenth of all endpoints. */
function millionEndpoints(): Scale {
  const total = Number(process.env['ENDPOINTS'] ?? 1_000_000);
  const podOf = podsIn(total, 200, 100);
  const policy = (index: number) =>
    updateOf(GLOBAL_POLICY, `g${index}`, {
      spec: {
        selector: `app == "${app(index)}"`,
        types: ['Ingress'],
        ingress: [{ action: 'Allow', source: { selector: `tier == "t${index}"` } }],
      },
    });
  return {
    name: `${total} endpoints, 100 selectors`,
    endpoints: total,
    *load() {
      for (let index = 0; index < total / 100; index++) yield namespace(`n${index}`);
      for (let index = 0; index < 100; index++) yield policy(index);
      for (let index = 0; index < total; index++) yield podOf(index, tierOf(index));
    },
    changes: {
      'a label that nothing asks for': (turn) => podOf(1, { ...tierOf(1), turn: `${turn}` }),
      'one endpoint, from one set to another': (turn) => podOf(1, tierOf(turn)),
    },
  };
}

const tierOf = (index: number) => ({ tier: `t${index % 100}` });

/** Microseconds that a change takes, by what it is. */
const figures = new Map<string, number>();

/** `smaller`: what ran before, to be compared with by the changes that both have. */
async function run({ name, endpoints, load, changes }: Scale, smaller?: string): Promise<void> {
  if (ONLY !== undefined && !name.includes(ONLY)) return;
  process.stdout.write(`${name}\n`);
  // What the case before held is garbage only once its frame has gone.
  await new Promise(setImmediate);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const graph = new CalcGraph(HOST);
  let count = 0;
  const start = process.cpuUsage();
  const seconds = timed(() => {
    for (const update of load()) {
      graph.onUpdates([update]);
      count++;
    }
    graph.state();
  });
  const { user, system } = process.cpuUsage(start);
  collectGarbage();
  const bytes = process.memoryUsage().heapUsed - before;
  const { policies, ipSets } = graph.state();
  const members = [...ipSets.values()].reduce((sum, set) => sum + set.members.size, 0);
  printFigure('  loaded', seconds, 's');
  printFigure('  updates', (count * 1e6) / (user + system), '/s of CPU, making them included');
  printFigure('  memory', bytes / endpoints, 'bytes an endpoint');
  process.stdout.write(
    `  in force: ${policies.size} policies and profiles, ${ipSets.size} sets with ${members} members\n`,
  );
  let idle: number | undefined;
  for (const [what, change] of Object.entries(changes)) {
    const times = Array.from({ length: CHANGES }, (_, turn) => {
      const update = change(turn);
      return timed(() => {
        graph.onUpdates([update]);
        graph.state();
      });
    });
    const figure = median(times) * 1e6;
    const peer =
      idle === undefined ? undefined : { name: 'one that nothing asks about', figure: idle };
    printFigure(`  ${what}`, figure, 'µs', peer);
    idle ??= figure;
    figures.set(`${name}: ${what}`, figure);
    const before = figures.get(`${smaller}: ${what}`);
    if (before === undefined || smaller === undefined) continue;
    printFigure(`  ${what}`, figure, 'µs', { name: smaller, figure: before });
  }
}

printMachine();
await run(namespacedCluster(250_000, 200, 100, 10_000));
await run(manySelectors(100));
await run(manySelectors(10_000), '100 selectors');
await run(isolatedCustomers());
await run(networkSets());
await run(millionEndpoints());
