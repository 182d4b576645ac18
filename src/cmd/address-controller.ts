// The server's part in address management: collects what is leaked, says of pools whether they are used, counts.
import type { Logger } from 'pino';
import { ApiClient, loadKubeconfig } from '#datastore/client';
import { Collector, readAddressCounts, writePoolConditions } from '#ipam';
import type { AddressCounts } from '#metrics';

/** Often enough that the addresses of a node that is gone are free within a minute. */
const INTERVAL_MS = 30_000;

export interface AddressController {
  /** Of blocks as they are now; undefined where they cannot be read. */
  readonly counts: () => Promise<AddressCounts | undefined>;
  readonly stop: () => Promise<void>;
}

/** Works as a client of the server like any other until `stop`. */
export function startAddressController(kubeconfig: string, log: Logger): AddressController {
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
    counts: async () => {
      try {
        return { ...(await readAddressCounts(client)), ...collector.leaks };
      } catch (error) {
        log.warn({ err: error }, 'cannot count addresses; trying again when asked');
        return undefined;
      }
    },
    stop: async () => {
      await collector.stop();
      await client.close();
    },
  };
}
