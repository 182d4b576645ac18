// The door of lab: many nodes on one machine, as network namespaces with real processes.
export { requireLabHost } from './host-check.ts';
export { isPod } from './pod-watch.ts';
export { podProblems } from './pod-problems.ts';
export { keepLab } from './keeper.ts';
export { LabError } from './lab-error.ts';
export { LabFolder, LABS_FOLDER } from './lab-folder.ts';
export { DEFAULT_LAB, labNameProblem } from './lab-name.ts';
export {
  isLabManifest,
  type LabSpec,
  NODES_MAX,
  type OutsideMachine,
  readLabSpec,
  readNodeCount,
} from './lab-spec.ts';
export { allLabs, type LabProcess, type LabStatus, labStatus, runningLabs } from './lab-status.ts';
export { execInLab } from './lab-target.ts';
export { claimLab, startLab, type StartLabOptions } from './start-lab.ts';
export { existingLabs, type Removed, stopLab } from './stop-lab.ts';
