// What keeps a pod from running in a lab, said before anything is started.
import type { Pod } from '#api';
import { nodeNames } from './lab-name.ts';
import { podKey } from './pod-watch.ts';

/** Lines such as `pod shop/cart: container web has no command ...`; empty where the pod can run. */
export function podProblems(pod: Pod, nodeCount: number): string[] {
  const { nodeName, initContainers = [], containers } = pod.spec;
  const key = podKey(pod);
  const commandless = [...initContainers, ...containers].filter(({ command }) => !command?.length);
  const problems = commandless.map(
    ({ name }) =>
      `pod ${key}: container ${name} has no command; a lab runs commands, not images: give it one`,
  );
  if (nodeName === undefined || nodeNames(nodeCount).includes(nodeName)) return problems;
  const names = nodeNames(nodeCount).join(', ');
  return [...problems, `pod ${key}: there is no node ${nodeName}; this lab has ${names}`];
}
