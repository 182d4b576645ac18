// Connects packet capture: resources and parameters in, status and files out to the server.
import type { Logger } from 'pino';
import { packetCaptureKind } from '#api';
import { CaptureAgent, CaptureFileServer } from '#capture';
import type { ApiClient } from '#datastore/client';

export interface NodeCaptures {
  readonly agent: CaptureAgent;
  readonly stop: () => Promise<void>;
}

export function startCaptures(options: {
  readonly node: string;
  readonly client: ApiClient;
  readonly parameters: () => { text(name: string): string; number(name: string): number };
  readonly log: Logger;
}): NodeCaptures {
  const { node, client, parameters } = options;
  const log = (message: string): void => options.log.warn(message);
  const agent = new CaptureAgent({
    node,
    settings: () => {
      const read = parameters();
      return {
        directory: read.text('CaptureDir'),
        limits: {
          maxBytes: read.number('CaptureMaxSizeBytes'),
          rotationMs: read.number('CaptureRotationSeconds') * 1000,
          maxFiles: read.number('CaptureMaxFiles'),
        },
      };
    },
    storeFiles: async (capture, files) => {
      const { resourceVersion } = capture.metadata;
      const patch = { metadata: { resourceVersion }, status: { files } };
      await client.patch(packetCaptureKind, capture.metadata, patch, { subresource: 'status' });
    },
    log,
  });
  const files = new CaptureFileServer({
    agent,
    requests: (signal) => client.stream('GET', '/packet-capture/requests', { signal }),
    answer: async (id, body) => {
      await client.request('POST', `/packet-capture/answers/${id}`, { body });
    },
    log,
  });
  return {
    agent,
    stop: async () => {
      await files.stop();
      await agent.stop();
    },
  };
}
