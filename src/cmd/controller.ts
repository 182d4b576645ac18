// Runs a part of the server that works as a client of it like any other.
import { ApiClient, loadKubeconfig } from '#datastore/client';

export interface Controller {
  start(): void;
  /** Ends when no request of it is under way. */
  stop(): Promise<void>;
}

/** Starts what is made on a client of its own; the client is closed after it. */
export function startController(
  kubeconfig: string,
  make: (client: ApiClient) => Controller,
): Pick<Controller, 'stop'> {
  const client = new ApiClient(loadKubeconfig(kubeconfig));
  const controller = make(client);
  controller.start();
  return {
    stop: async () => {
      await controller.stop();
      await client.close();
    },
  };
}
