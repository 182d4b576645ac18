// Sockets that a service manager hands down to the server (sd_listen_fds_with_names(3)).

/** The first descriptor that is handed down. */
const FIRST = 3;
/** The name of those that serve metrics; any other serves the API. */
const METRICS = 'metrics';

type Environment = Readonly<Record<string, string | undefined>>;

/** Descriptors by what they are for. LISTEN_PID may be absent; another process' are not taken. */
export function handedDown(
  environment: Environment = process.env,
  processId = process.pid,
): { readonly api: readonly number[]; readonly metrics: readonly number[] } {
  const { LISTEN_FDS: count, LISTEN_PID: pid, LISTEN_FDNAMES: names = '' } = environment;
  if (!count || (pid && pid !== String(processId))) return { api: [], metrics: [] };
  const nameOf = names.split(':');
  const descriptors = Array.from({ length: Number(count) }, (_, index) => FIRST + index);
  const isMetrics = (descriptor: number): boolean => nameOf[descriptor - FIRST] === METRICS;
  return {
    api: descriptors.filter((descriptor) => !isMetrics(descriptor)),
    metrics: descriptors.filter(isMetrics),
  };
}
