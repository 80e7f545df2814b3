import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from '../config';
import type { Cluster } from './cluster';
import { podsOf } from './diagnose';
import { CommandError } from './errors';
import { manifests } from './manifests';
import { type KubernetesObject, type Pod, title } from './objects';
import type { Part } from './parts';
import { isWorkload, type Workload, waitForRollouts } from './rollout';

const POLL_MILLISECONDS = 1_000;
/** For a pod to be gone once its time to finish is over. */
const GONE_SECONDS = 60;

/** Who writes to what a part holds. */
const writers: Readonly<Record<Part, readonly string[]>> = {
  outputs: ['Deployment/backend'],
  logs: ['Deployment/backend'],
  models: ['Deployment/backend'],
  monitoring: ['StatefulSet/prometheus', 'Deployment/grafana'],
  redis: ['StatefulSet/redis', 'Deployment/backend'],
  configuration: [],
};

/** The workloads that write to the parts, as the settings have them. */
export function writersOf(settings: Settings, parts: readonly Part[]): Workload[] {
  const names = new Set(parts.flatMap(part => writers[part]));
  return manifests(settings)
    .flatMap(({ objects }) => objects)
    .filter(object => isWorkload(object) && names.has(title(object))) as unknown as Workload[];
}

export interface WritersProps {
  readonly namespace: string;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

const replicasOf = ({ spec }: Workload): number => spec?.replicas ?? 1;

async function findLive(cluster: Cluster, workload: Workload): Promise<Workload> {
  const live = await cluster.get<Workload>(workload);
  if (live === undefined) throw new CommandError(`${title(workload)} is not in the cluster`, 'orfeas deploy brings it back');
  return live;
}

/** Those of the workloads that have no pods because they are not to have any. */
export async function findStopped(cluster: Cluster, workloads: readonly Workload[]): Promise<Workload[]> {
  const live = await Promise.all(workloads.map(workload => findLive(cluster, workload)));
  return workloads.filter((_, index) => replicasOf(live[index] as Workload) === 0);
}

/**
 * Stops workloads, and waits until their pods are gone.
 *
 * @throws CommandError when a pod does not stop, or somebody starts them again.
 */
export async function stopWriters(
  cluster: Cluster,
  workloads: readonly Workload[],
  { namespace, signal, onProgress }: WritersProps,
): Promise<void> {
  for (const workload of workloads) await cluster.merge(workload, { spec: { replicas: 0 } });
  const seconds = GONE_SECONDS + Math.max(0, ...workloads.map(({ spec }) => spec?.template.spec?.terminationGracePeriodSeconds ?? 30));
  for (const start = Date.now(); ; await sleep(POLL_MILLISECONDS, undefined, { signal })) {
    const all = await cluster.list<Pod>('v1', 'Pod', namespace);
    // One that has ended by itself writes nothing, and is not cleaned up at once.
    const pods = workloads
      .flatMap(workload => podsOf(workload, all))
      .filter(({ status }) => !['Failed', 'Succeeded'].includes(status?.phase ?? ''));
    const stopped = await findStopped(cluster, workloads);
    const restarted = workloads.find(workload => !stopped.includes(workload));
    if (restarted) {
      throw new CommandError(
        `${title(restarted)} was stopped, and somebody started it again`,
        'pause what manages it, such as the automated sync of Argo CD, then run this again',
      );
    }
    const [pod] = pods;
    if (pod === undefined) return;
    if ((Date.now() - start) / 1000 > seconds) {
      throw new CommandError(
        `Pod/${pod.metadata.name} does not stop`,
        `see that its node ${pod.spec?.nodeName ?? ''} is well (kubectl get nodes), then run this again`,
      );
    }
    onProgress(pods.map(({ metadata }) => `Pod/${metadata.name} finishes its work`).join('\n'));
  }
}

/**
 * Starts workloads, Redis before its clients, and waits until they run.
 *
 * @throws CommandError with every reason why one does not run.
 */
export async function startWriters(
  cluster: Cluster,
  workloads: readonly Workload[],
  { namespace, signal, onProgress }: WritersProps,
): Promise<void> {
  const isRedis = ({ metadata }: Workload): boolean => metadata.name === 'redis';
  for (const group of [workloads.filter(isRedis), workloads.filter(workload => !isRedis(workload))]) {
    for (const workload of await findStopped(cluster, group)) await cluster.merge(workload, { spec: { replicas: replicasOf(workload) } });
    await waitForRollouts(cluster, { namespace, workloads: group as unknown as KubernetesObject[], signal, onProgress });
  }
}
