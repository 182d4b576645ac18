// Where a lab keeps its files: everything below one folder, so that removing a lab is removing it.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export const LABS_FOLDER = '/run/tortie/labs';

/** The files of one lab. */
export class LabFolder {
  readonly name: string;
  readonly path: string;

  constructor(name: string, labsFolder = LABS_FOLDER) {
    this.name = name;
    this.path = join(labsFolder, name);
  }

  /** What the lab is: `LabState`. */
  get state(): string {
    return join(this.path, 'lab.json');
  }

  /** The server's data folder. */
  get data(): string {
    return join(this.path, 'server');
  }

  /** For the administrator, on loopback. */
  get kubeconfig(): string {
    return join(this.data, 'kubeconfig');
  }

  nodeKubeconfig(node: string): string {
    return join(this.data, 'nodes', `${node}.kubeconfig`);
  }

  /** The run folder of a node's agent; its CNI socket stands here. */
  agent(node: string): string {
    return join(this.path, 'nodes', node);
  }

  cniSocket(node: string): string {
    return join(this.agent(node), 'cni.sock');
  }

  /** One record for each process: `ProcessRecord`. */
  get processes(): string {
    return join(this.path, 'processes');
  }

  get logs(): string {
    return join(this.path, 'logs');
  }

  log(label: string): string {
    return join(this.logs, `${label.replaceAll('/', '.')}.log`);
  }

  /** Which pods run, and where: `PodRecord` by `namespace/pod`. */
  get pods(): string {
    return join(this.path, 'pods.json');
  }

  /** Addresses by `namespace/pod`, `node:NAME` and `outside:NAME`, for the programs in the lab. */
  get peers(): string {
    return join(this.path, 'peers.json');
  }
}

/** Names of the labs that have a folder. */
export function labsWithFolders(labsFolder = LABS_FOLDER): string[] {
  try {
    const entries = readdirSync(labsFolder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
