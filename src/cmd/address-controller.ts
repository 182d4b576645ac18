// The server's part in address management: collects what is leaked, and says of pools whether they are used.
import type { Logger } from 'pino';
import { ApiClient, loadKubeconfig } from '#datastore/client';
import { Collector, writePoolConditions } from '#ipam';

/** Often enough that the addresses of a node that is gone are free within a minute. */
const INTERVAL_MS = 30_000;

/** Works as a client of the server like any other until `stop`. */
export function startAddressController(
  kubeconfig: string,
  log: Logger,
): { readonly stop: () => Promise<void> } {
  const client = new ApiClient(loadKubeconfig(kubeconfig));
  const collector = new Collector({ client });
  collector.start({
    intervalMs: INTERVAL_MS,
    afterTurn: async () => {
      await writePoolConditions(client, new Date());
    },
    onMended: ({ finding, failure }) => {
      const { kind, subject, reason } = finding;
      if (failure === undefined) log.info({ kind, subject, reason }, 'address management mended');
      else log.warn({ kind, subject, reason, failure }, 'address management could not mend');
    },
    onError: (error) => log.warn({ err: error }, 'address collection failed; trying again'),
  });
  return {
    stop: async () => {
      await collector.stop();
      await client.close();
    },
  };
}
