// One program for every part of the example shop: HTTP services, a database over TCP, a customer, an intruder.
//
// Usage: node service.ts ROLE [OPTION...]
//   http PORT [UPSTREAM...]   answers GET / after asking its upstreams; /metrics counts
//   database PORT             a line protocol: "GET key", "PUT key value"
//   visit PER_SECOND URL...   asks one URL after another, like customers or a monitor
//   intrude                   tries what policy should deny, over and over
//
// UPSTREAM and URL are http://namespace/pod:port/ or tcp://namespace/pod:port; SOMETIMES+http://... is asked every fifth
// time. There is no DNS here: addresses come from the JSON file that TORTIE_LAB_PEERS names, read at each call.
import { readFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const TIMEOUT_MS = 1_500;
const LINE_MAX = 4_096;
const SOMETIMES = 'SOMETIMES+';
const SOMETIMES_EVERY = 5;
const REPORT_MS = 30_000;

interface Target {
  readonly scheme: 'http' | 'tcp';
  /** `namespace/pod`, `outside:NAME` or an address. */
  readonly peer: string;
  readonly port: number;
}

function parseTarget(text: string): Target {
  const match = /^(http|tcp):\/\/(.+):(\d+)\/?$/.exec(text);
  const [, scheme, peer, port] = match ?? [];
  if ((scheme !== 'http' && scheme !== 'tcp') || peer === undefined) {
    throw new Error(`Cannot read ${text}: write http://namespace/pod:port/`);
  }
  return { scheme, peer, port: Number(port) };
}

function addressOf(peer: string): string {
  if (/^[\d.]+$/.test(peer)) return peer;
  const peers: unknown = JSON.parse(readFileSync(process.env['TORTIE_LAB_PEERS'] ?? '', 'utf8'));
  const addresses = (peers as Record<string, string[] | undefined>)[peer];
  const [first] = addresses ?? [];
  if (first === undefined) throw new Error(`${peer} has no address yet`);
  return first;
}

/** Asks a target once; every call is a connection of its own. */
async function ask(target: Target): Promise<string> {
  const host = addressOf(target.peer);
  return target.scheme === 'http' ? askHttp(host, target.port) : askTcp(host, target.port);
}

function askHttp(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(
      { host, port, path: '/', agent: false, timeout: TIMEOUT_MS },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.once('end', () => resolve(body));
        response.once('error', reject);
      },
    );
    request.once('timeout', () => request.destroy(new Error('timed out')));
    request.once('error', reject);
  });
}

function askTcp(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    let answer = '';
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.end('PUT visits 1\nGET visits\n'));
    socket.on('data', (text: string) => {
      answer += text;
    });
    socket.once('timeout', () => socket.destroy(new Error('timed out')));
    socket.once('error', reject);
    socket.once('close', () => resolve(answer.trim()));
  });
}

/** Counts what became of the calls, and says so now and then. */
class Tally {
  readonly #counts = new Map<string, number>();

  constructor() {
    setInterval(() => console.log(JSON.stringify(this.counts)), REPORT_MS).unref();
  }

  get counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  async call(text: string, target: Target): Promise<boolean> {
    const outcome = await ask(target).then(
      () => 'answered',
      () => 'failed',
    );
    const key = `${text} ${outcome}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return outcome === 'answered';
  }
}

function serveHttp(port: number, upstreams: readonly string[]): void {
  const tally = new Tally();
  let requests = 0;
  createServer((request, response) => {
    requests++;
    const turn = requests;
    const answer = async () => {
      const asked = request.url === '/metrics' ? [] : upstreams.filter((it) => isDue(it, turn));
      const results = await Promise.all(
        asked.map(async (text) => {
          const name = text.replace(SOMETIMES, '');
          return [name, await tally.call(name, parseTarget(name))] as const;
        }),
      );
      const body = {
        host: process.env['HOSTNAME'],
        requests,
        upstreams: Object.fromEntries(results),
      };
      response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
      response.end(`${JSON.stringify(body)}\n`);
    };
    answer().catch((error: unknown) => response.destroy(error as Error));
  }).listen(port);
}

function isDue(upstream: string, turn: number): boolean {
  return !upstream.startsWith(SOMETIMES) || turn % SOMETIMES_EVERY === 0;
}

function serveDatabase(port: number): void {
  const values = new Map<string, string>();
  const answer = (line: string): string => {
    const [verb, key = '', ...rest] = line.trim().split(' ');
    if (verb === 'GET') return values.get(key) ?? '';
    if (verb !== 'PUT') return 'what?';
    values.set(key, rest.join(' '));
    return 'ok';
  };
  createTcpServer({ allowHalfOpen: true }, (socket) => {
    let pending = '';
    socket.setEncoding('utf8').setTimeout(TIMEOUT_MS, () => socket.destroy());
    socket.on('data', (text: string) => {
      const lines = (pending + text).split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) socket.write(`${answer(line)}\n`);
      if (pending.length > LINE_MAX) socket.destroy();
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => socket.destroy());
  }).listen(port);
}

async function visit(perSecond: number, urls: readonly string[]): Promise<never> {
  const tally = new Tally();
  for (let turn = 0; ; turn++) {
    const url = urls[turn % urls.length] ?? '';
    void tally.call(url, parseTarget(url));
    await sleep(1000 / perSecond);
  }
}

/** What an intruder in the web namespace would try, and what should stop it. */
const ATTEMPTS = [
  // Tier security: nobody of low trust reaches a database.
  'tcp://data/database:5432',
  // Tier platform: payments take orders from the cart alone.
  'http://payments/payments:8080/',
  // Tier default, Calico's NetworkPolicy: the shop is for the web front.
  'http://shop/cart:8080/',
  // Tier default, Kubernetes' NetworkPolicy: nothing in data is open but what is said to be.
  'http://data/monitor:8080/',
  // Tier platform: partners are for payments.
  'http://outside:bank:443/',
  // Tier security: the cloud's metadata service.
  'http://169.254.169.254:80/',
  // Allowed: the front is for everybody.
  'http://web/front-1:8080/',
];

const [role, ...options] = process.argv.slice(2);
switch (role) {
  case 'http':
    serveHttp(Number(options[0]), options.slice(1));
    break;
  case 'database':
    serveDatabase(Number(options[0]));
    break;
  case 'visit':
    await visit(Number(options[0]), options.slice(1));
    break;
  case 'intrude':
    await visit(2, ATTEMPTS);
    break;
  default:
    console.error(`Cannot play ${String(role)}: use http, database, visit or intrude`);
    process.exitCode = 2;
}
