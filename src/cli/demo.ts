// `tortie lab demo`: the example shop in a lab, watched live, gone with Ctrl-C.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { kindOf } from '#api';
import { ApiClient, loadKubeconfig } from '#datastore/client';
import type { Flow } from '#flows';
import { existingLabs, LabFolder, requireLabHost, stopLab } from '#lab';
import { type DemoView, renderDemo } from './demo-view.ts';
import { listFlows } from './flows-command.ts';
import { readLabPlan, startOrClean } from './lab-commands.ts';
import { programName } from './program-name.ts';
import type { ProgramPlace } from './program.ts';
import type { Terminal } from './terminal.ts';

const SCREEN_MS = 1_000;
const LINES_MS = 10_000;
/** How far back the view looks. */
const WINDOW_SECONDS = 15;
const OPEN_SCREEN = '\u001b[?1049h\u001b[?25l';
const CLOSE_SCREEN = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

/** Runs until SIGINT, SIGTERM or SIGHUP, then removes everything it made. */
export async function runDemo(
  name: string,
  terminal: Terminal,
  place: ProgramPlace,
): Promise<void> {
  requireLabHost('start the demo');
  const plan = await readLabPlan({ filename: [join(place.root, 'examples', 'shop')] }, terminal);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => stopping.abort(new DemoStopped()));
  }
  terminal.err(
    `Starting lab ${name}: ${plan.nodes} nodes, the example shop. Press Ctrl-C to stop.\n`,
  );
  try {
    await startOrClean(name, plan, { terminal, place, signal: stopping.signal });
    await watch(name, terminal, { place, signal: stopping.signal, nodes: plan.nodes });
  } catch (error) {
    if (!(error instanceof DemoStopped)) throw error;
  }
  const { processes, namespaces } = await stopLab(name);
  terminal.err(
    `lab ${name} removed: ${processes} processes ended, ${namespaces} namespaces removed\n`,
  );
}

class DemoStopped extends Error {}

interface WatchOptions {
  readonly place: ProgramPlace;
  readonly signal: AbortSignal;
  readonly nodes: number;
}

async function watch(name: string, terminal: Terminal, options: WatchOptions): Promise<void> {
  const client = new ApiClient(loadKubeconfig(new LabFolder(name).kubeconfig));
  const startMs = Date.now();
  const program = programName(options.place.executable);
  if (terminal.isScreen) terminal.out(OPEN_SCREEN);
  try {
    while (!options.signal.aborted) {
      const { flows, pods } = await observe(client);
      const seconds = Math.round((Date.now() - startMs) / 1000);
      const labFlag = existingLabs().length > 1 ? ` --lab ${name}` : '';
      const about = { name, program, labFlag, nodes: options.nodes, windowSeconds: WINDOW_SECONDS };
      const view = { ...about, pods, seconds, flows };
      show(terminal, view);
      const pause = terminal.isScreen ? SCREEN_MS : LINES_MS;
      await sleep(pause, undefined, { signal: options.signal }).catch(() => undefined);
    }
  } finally {
    if (terminal.isScreen) terminal.out(CLOSE_SCREEN);
    await client.close();
  }
}

/** What is not to be had right now is shown as nothing: the next look may find it. */
async function observe(client: ApiClient): Promise<{ flows: Flow[]; pods: number }> {
  const kind = kindOf('v1', 'Pod');
  const [flows, pods] = await Promise.all([
    listFlows(client, { since: `${WINDOW_SECONDS}s` }).catch(() => []),
    kind === undefined
      ? 0
      : client.list(kind).then(
          ({ items }) => items.length,
          () => 0,
        ),
  ]);
  return { flows, pods };
}

function show(terminal: Terminal, view: DemoView): void {
  if (!terminal.isScreen) {
    terminal.out(`${renderDemo(view, { width: 160, height: 60, color: false }).join('\n')}\n\n`);
    return;
  }
  const { columns: width, rows: height } = process.stdout;
  const lines = renderDemo(view, { width, height, color: true });
  terminal.out(`${HOME}${lines.map((line) => `${line}${CLEAR_LINE}`).join('\n')}${CLEAR_BELOW}`);
}
