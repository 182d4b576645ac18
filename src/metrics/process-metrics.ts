// What every process says of itself, under the names of Prometheus' process collector.
import { readdirSync, readFileSync } from 'node:fs';
import type { MetricDefinition } from './metric-definition.ts';
import type { MetricRegistry } from './metric-registry.ts';

export const PROCESS_METRICS: readonly MetricDefinition[] = [
  {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'CPU time used by this process, in seconds.',
  },
  {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: 'Memory that is in RAM, in bytes.',
  },
  {
    name: 'process_heap_bytes',
    type: 'gauge',
    help: 'Memory used on the JavaScript heap, in bytes.',
  },
  { name: 'process_open_fds', type: 'gauge', help: 'File descriptors that are open.' },
  {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: 'When the process started, in seconds since the epoch.',
  },
  {
    name: 'nodejs_eventloop_lag_seconds',
    type: 'gauge',
    help: 'How late a timer that was due ran, in seconds: the worst since the last reading.',
  },
];

const LAG_EVERY_MS = 500;

/** Returns what ends the measuring. */
export function measureProcess(metrics: MetricRegistry): () => void {
  let due = performance.now() + LAG_EVERY_MS;
  let worst = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    worst = Math.max(worst, now - due);
    due = now + LAG_EVERY_MS;
  }, LAG_EVERY_MS);
  timer.unref();
  metrics.set('process_start_time_seconds', performance.timeOrigin / 1_000);
  metrics.onCollect(() => {
    const { user, system } = process.cpuUsage();
    metrics.total('process_cpu_seconds_total', (user + system) / 1e6);
    metrics.set('process_resident_memory_bytes', process.memoryUsage.rss());
    metrics.set('process_heap_bytes', process.memoryUsage().heapUsed);
    metrics.set('process_open_fds', openDescriptors());
    metrics.set('nodejs_eventloop_lag_seconds', Math.max(worst, 0) / 1_000);
    worst = 0;
  });
  return () => clearInterval(timer);
}

function openDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return Number(/^FDSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0);
  }
}
