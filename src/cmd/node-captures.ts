// Connects packet capture: resources and parameters in, status and files out to the server.
import type { Logger } from 'pino';
import { packetCaptureKind, type ParameterValue } from '#api';
import { CaptureAgent, CaptureFileServer } from '#capture';
import type { ApiClient } from '#datastore/client';

export interface NodeCaptures {
  readonly agent: CaptureAgent;
  readonly stop: () => Promise<void>;
}

export function startCaptures(options: {
  readonly node: string;
  readonly client: ApiClient;
  readonly parameters: () => ReadonlyMap<string, ParameterValue>;
  readonly log: Logger;
}): NodeCaptures {
  const { node, client, parameters } = options;
  const log = (message: string): void => options.log.warn(message);
  const agent = new CaptureAgent({
    node,
    settings: () => {
      const values = parameters();
      const directory = values.get('CaptureDir');
      return {
        directory: typeof directory === 'string' ? directory : '',
        limits: {
          maxBytes: Number(values.get('CaptureMaxSizeBytes')),
          rotationMs: Number(values.get('CaptureRotationSeconds')) * 1000,
          maxFiles: Number(values.get('CaptureMaxFiles')),
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
