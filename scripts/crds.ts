// Writes deploy/crds: the CustomResourceDefinition of every kind that a Kubernetes cluster can serve but does not have.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { crdOf, KINDS, pendingChangeKind } from '#api';

const FOLDER = 'deploy/crds';
/** ClusterNetworkPolicy is Kubernetes' to define; its project ships the CRD. */
const GROUPS: readonly string[] = ['projectcalico.org', 'tortie.dev'];

/** Nobody would undo a pending change there: a cluster that took one would promise in vain. */
function hasCrd(kind: (typeof KINDS)[number]): boolean {
  return GROUPS.includes(kind.group) && kind !== pendingChangeKind;
}

/** The text of each file by its name. */
export function crdFiles(): ReadonlyMap<string, string> {
  return new Map(
    KINDS.filter(hasCrd).map((kind) => [
      `${kind.group}_${kind.plural}.yaml`,
      `# Written by scripts/crds.ts from the kind's definition in src/api.\n${stringify(
        crdOf(kind),
        {
          aliasDuplicateObjects: false,
          lineWidth: 0,
        },
      )}`,
    ]),
  );
}

function main(): void {
  const files = crdFiles();
  mkdirSync(FOLDER, { recursive: true });
  for (const name of readdirSync(FOLDER)) if (!files.has(name)) rmSync(join(FOLDER, name));
  for (const [name, text] of files) writeFileSync(join(FOLDER, name), text);
  process.stdout.write(`crds: ${files.size} files in ${FOLDER}\n`);
}

if (process.argv[1] === import.meta.filename) main();
