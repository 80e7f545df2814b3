import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from './cluster';
import { describeProblem, isReady, type Observation, type Problem, podsOf, workloadProblems } from './diagnose';
import { CommandError } from './errors';
import type { Claim, Deployment, Event, KubernetesObject, Pod, StatefulSet } from './objects';

const POLL_MILLISECONDS = 2_000;
/** A StatefulSet has no deadline of its own. */
const DEADLINE_SECONDS = 600;
/** Of each problem while waiting; a failure tells it in full. */
const SHOWN_CHARACTERS = 120;

export type Workload = (Deployment | StatefulSet) & { apiVersion: string; kind: 'Deployment' | 'StatefulSet' };

export const isWorkload = (object: KubernetesObject): boolean =>
  object.apiVersion === 'apps/v1' && ['Deployment', 'StatefulSet'].includes(object.kind);

/** Whether the cluster runs what the workload asks for, and nothing older. */
export function isRolledOut({ kind, metadata, spec, status }: Workload): boolean {
  const desired = spec?.replicas ?? 1;
  const { observedGeneration = 0, replicas = 0, readyReplicas = 0, availableReplicas = 0 } = status ?? {};
  // With one revision left, a StatefulSet counts no updated pods.
  const settled = status as StatefulSet['status'];
  const updated =
    kind === 'StatefulSet' && settled?.currentRevision === settled?.updateRevision ? replicas : (status?.updatedReplicas ?? 0);
  return (
    observedGeneration >= (metadata.generation ?? 0) &&
    [replicas, readyReplicas, availableReplicas, updated].every(count => count === desired)
  );
}

/** All that explains why pods do not run. */
export async function observe(cluster: Cluster, namespace: string): Promise<Observation> {
  const [pods, claims, events] = await Promise.all([
    cluster.list<Pod>('v1', 'Pod', namespace),
    cluster.list<Claim>('v1', 'PersistentVolumeClaim', namespace),
    cluster.list<Event>('v1', 'Event', namespace),
  ]);
  return { pods, claims, events };
}

/** The problem in words, with the last lines of the container that it is about. */
export async function report(cluster: Cluster, namespace: string, problem: Problem): Promise<string> {
  const { logs } = problem;
  if (logs === undefined) return describeProblem(problem);
  const lines = await cluster.logs(namespace, logs.pod, logs.container, logs).catch((error: Error) => [`(no logs: ${error.message})`]);
  return [describeProblem(problem), ...lines.map(line => `  │ ${line}`)].join('\n');
}

/** The controller's own verdict on this rollout, not on one before it. */
const gaveUp = ({ kind, metadata, status }: Workload, since: Date): boolean =>
  kind === 'Deployment' &&
  ((status as Deployment['status'])?.observedGeneration ?? 0) >= (metadata.generation ?? 0) &&
  ((status as Deployment['status'])?.conditions?.some(
    ({ type, reason, lastUpdateTime }) =>
      type === 'Progressing' && reason === 'ProgressDeadlineExceeded' && new Date(lastUpdateTime ?? 0) >= since,
  ) ??
    false);

export interface RolloutProps {
  readonly namespace: string;
  readonly workloads: readonly KubernetesObject[];
  readonly signal: AbortSignal;
  /** Told what is waited for, whenever that changes. */
  readonly onProgress: (text: string) => void;
}

/**
 * Waits until all workloads run as asked.
 *
 * @throws CommandError with every reason as soon as waiting longer cannot help.
 */
export async function waitForRollouts(cluster: Cluster, { namespace, workloads, signal, onProgress }: RolloutProps): Promise<void> {
  const since = new Date();
  const seconds = Math.max(
    DEADLINE_SECONDS,
    ...workloads.map(object => (object as unknown as Deployment).spec?.progressDeadlineSeconds ?? 0),
  );
  let firstSeen = new Map<string, number>();
  for (;;) {
    const live = await Promise.all(workloads.map(object => cluster.get<Workload>(object)));
    const missing = workloads.find((_, index) => live[index] === undefined);
    if (missing) throw new CommandError(`${missing.kind}/${missing.metadata.name} is gone: somebody deleted it meanwhile`, 'deploy again');
    const unready = live.filter(workload => workload !== undefined).filter(workload => !isRolledOut(workload));
    if (unready.length === 0) return;

    const observation = await observe(cluster, namespace);
    const problems = unready.flatMap(workload => workloadProblems(workload, observation));
    const waited = (Date.now() - since.getTime()) / 1000;
    const key = ({ object, containers, reason }: Problem): string => [object, containers, reason].join(' ');
    firstSeen = new Map(problems.map(problem => [key(problem), firstSeen.get(key(problem)) ?? waited]));
    const lasted = (problem: Problem): number => waited - (firstSeen.get(key(problem)) ?? waited);
    const hopeless = problems.some(problem => lasted(problem) >= (problem.hopelessAfterSeconds ?? Number.POSITIVE_INFINITY));
    if (hopeless || waited > seconds || unready.some(workload => gaveUp(workload, since))) {
      const reports = await Promise.all(problems.map(problem => report(cluster, namespace, problem)));
      const names = unready.map(({ kind, metadata }) => `${kind}/${metadata.name}`).join(', ');
      throw new CommandError(`${names} did not become ready within ${Math.round(waited)} s.\n${reports.join('\n')}`);
    }
    const ready = (workload: Workload): number => podsOf(workload, observation.pods).filter(isReady).length;
    onProgress(
      [
        unready.map(workload => `${workload.metadata.name} ${ready(workload)}/${workload.spec?.replicas ?? 1}`).join(', '),
        ...problems.map(({ object, reason, message }) => `${object} ${reason}: ${message.slice(0, SHOWN_CHARACTERS)}`),
      ].join('\n'),
    );
    await sleep(POLL_MILLISECONDS, undefined, { signal });
  }
}
