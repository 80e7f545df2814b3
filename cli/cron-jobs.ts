import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, type Cluster, isPassing } from './cluster';
import { describeProblem, jobProblems, type Problem } from './diagnose';
import { CommandError } from './errors';
import type { CronJob, Event, Job, Pod } from './objects';
import { report } from './rollout';

const POLL_MILLISECONDS = 1_000;
/** How long the cluster may be away while a Job runs: the Job does not need us. */
const AWAY_SECONDS = 60;

type ContainerStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

/** Now, in UTC, as names of objects may carry it: `20260101120000`. */
export const stamp = (): string => new Date().toISOString().replace(/\D/g, '').slice(0, 14);

const referenceTo = ({ metadata: { name, namespace } }: Job) => ({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name, namespace } });

const condition = ({ status }: Job, type: string) => status?.conditions?.find(each => each.type === type && each.status === 'True');

export const hasSucceeded = (job: Job): boolean => condition(job, 'Complete') !== undefined;
export const hasEnded = (job: Job): boolean => hasSucceeded(job) || condition(job, 'Failed') !== undefined;

const ownerOf = ({ metadata }: Job): string | undefined => metadata.ownerReferences?.find(({ kind }) => kind === 'CronJob')?.name;

/** Jobs that were made from the CronJobs, by their schedules or by hand; the newest first. */
export async function jobsOf(cluster: Cluster, namespace: string, cronJobs: readonly string[]): Promise<Job[]> {
  const jobs = await cluster.list<Job>('batch/v1', 'Job', namespace);
  const time = ({ metadata }: Job): string => metadata.creationTimestamp ?? '';
  return jobs
    .filter(job => cronJobs.includes(ownerOf(job) ?? ''))
    .sort((a, b) => time(b).localeCompare(time(a)) || b.metadata.name.localeCompare(a.metadata.name));
}

export interface StartProps {
  /** Of the Job's name, after that of the CronJob. */
  readonly suffix: string;
  /** Of its main container, in place of the template's. */
  readonly args?: readonly string[];
  /** Variables of all containers, besides the template's. */
  readonly env?: Readonly<Record<string, string>>;
  /** How often a pod that failed is replaced; the template's number when absent. */
  readonly backoffLimit?: number;
  /** Whether it stays, as far as the history of its CronJob reaches, where the template would have it removed. */
  readonly kept?: boolean;
}

/** Makes a Job from the template of a CronJob, which may be suspended. */
export async function startJob(
  cluster: Cluster,
  cronJob: CronJob,
  { suffix, args, env = {}, backoffLimit, kept }: StartProps,
): Promise<Job> {
  const { name, namespace, uid = '' } = cronJob.metadata;
  const { metadata, spec } = (cronJob.spec as NonNullable<CronJob['spec']>).jobTemplate as Pick<Job, 'spec'> & Partial<Job>;
  const pod = spec?.template.spec;
  const variables = Object.entries(env).map(([key, value]) => ({ name: key, value }));
  const withEnv = <C extends { env?: object[] }>(container: C): C => ({ ...container, env: [...(container.env ?? []), ...variables] });
  const containers = pod?.containers.map((container, index) =>
    withEnv(index === 0 && args ? { ...container, args: [...args] } : container),
  );
  return cluster.create({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: `${name}-${suffix}`,
      ...(namespace !== undefined && { namespace }),
      labels: metadata?.labels ?? {},
      annotations: { ...metadata?.annotations, 'cronjob.kubernetes.io/instantiate': 'manual' },
      // The CronJob's history limits then hold for this one, too.
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name, uid, controller: true }],
    },
    spec: {
      ...spec,
      ...(backoffLimit !== undefined && { backoffLimit }),
      ...(kept && { ttlSecondsAfterFinished: undefined }),
      template: {
        ...spec?.template,
        spec: { ...pod, ...(pod?.initContainers && { initContainers: pod.initContainers.map(withEnv) }), containers },
      },
    },
  } as Job & { apiVersion: string; kind: string });
}

export interface FollowProps {
  readonly signal: AbortSignal;
  /** Told each line of each container, sidecars aside. */
  readonly onLine: (line: string, container: string) => void;
  /** Told why it does not start. */
  readonly onProgress: (text: string) => void;
}

/** How a Job ended. */
export interface JobEnd {
  readonly succeeded: boolean;
  /** Why it failed, with all that the cluster knows of it. */
  readonly problem: string;
}

/** Reads the logs of a Job's containers as they are written, each line once, over broken connections and restarts. */
class Logs {
  private readonly readings = new Map<string, { upTo: string; busy?: Promise<void> | undefined; drained?: string | undefined }>();
  private refused: ApiError | undefined;

  constructor(
    private readonly cluster: Cluster,
    private readonly onLine: FollowProps['onLine'],
    private readonly signal: AbortSignal,
  ) {}

  /** Starts to read what nobody reads yet. */
  follow(pods: readonly Pod[]): void {
    if (this.refused) throw this.refused;
    for (const pod of pods) for (const status of followed(pod)) this.read(pod, status);
  }

  /** Ends once all that the pods wrote was read. */
  async drain(pods: readonly Pod[]): Promise<void> {
    await this.settled();
    this.follow(pods);
    await this.settled();
  }

  private read({ metadata: { name: pod, namespace = '' } }: Pod, { name, state, containerID = '' }: ContainerStatus): void {
    const key = `${pod}/${name}`;
    const reading = this.readings.get(key) ?? { upTo: '' };
    this.readings.set(key, reading);
    if (reading.busy || reading.drained === containerID) return;
    const sinceTime = reading.upTo;
    const pour = async (): Promise<void> => {
      for await (const { time, text } of this.cluster.follow(namespace, pod, name, { sinceTime, signal: this.signal })) {
        // The server counts in whole seconds.
        if (time <= sinceTime) continue;
        reading.upTo = time;
        this.onLine(text, name);
      }
      if (state?.running === undefined) reading.drained = containerID;
    };
    reading.busy = pour()
      .catch(error => {
        // Any other failure is a broken connection, or a container that is gone.
        if (error instanceof ApiError && error.status === 403) this.refused = error;
      })
      .finally(() => {
        reading.busy = undefined;
      });
  }

  private async settled(): Promise<void> {
    await Promise.all([...this.readings.values()].map(({ busy }) => busy));
  }
}

/** Containers of a pod that have written something, without the sidecars. */
function followed({ spec, status }: Pod): ContainerStatus[] {
  const sidecars = new Set(spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always').map(({ name }) => name));
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].filter(
    ({ name, state, lastState }) => !sidecars.has(name) && (state?.running ?? state?.terminated ?? lastState?.terminated) !== undefined,
  );
}

/** Deletes a Job and its pods. */
export const deleteJob = (cluster: Cluster, job: Job): Promise<void> => cluster.delete(referenceTo(job));

/** A variable of a Job's main container. */
export const variableOf = ({ spec }: Job, name: string): string | undefined =>
  spec?.template.spec?.containers[0]?.env?.find(variable => variable.name === name)?.value;

/** The pods of a Job. */
export const podsOfJob = (cluster: Cluster, { metadata: { name, namespace } }: Job): Promise<Pod[]> =>
  cluster.list<Pod>('v1', 'Pod', namespace, { labelSelector: `batch.kubernetes.io/job-name=${name}` });

/** Asks until the cluster answers, for a while. */
async function patiently<T>(ask: () => Promise<T>, { signal, onProgress }: Pick<FollowProps, 'signal' | 'onProgress'>): Promise<T> {
  for (const start = Date.now(); ; await sleep(POLL_MILLISECONDS, undefined, { signal })) {
    try {
      return await ask();
    } catch (error) {
      if (!isPassing(error) || (Date.now() - start) / 1000 > AWAY_SECONDS) throw error;
      onProgress((error as CommandError).message);
    }
  }
}

/** What is there of a Job; `job` is undefined once it is deleted. */
interface Sight {
  readonly job: Job | undefined;
  readonly pods: readonly Pod[];
  /** What keeps it from starting, or made it fail. */
  readonly problems: readonly Problem[];
}

async function look(cluster: Cluster, reference: Job): Promise<Sight> {
  const { namespace } = reference.metadata;
  const job = await cluster.get<Job>(referenceTo(reference));
  const pods = await podsOfJob(cluster, reference);
  const well = job === undefined || hasSucceeded(job) || (!hasEnded(job) && pods.some(pod => followed(pod).length > 0));
  const events = well ? [] : await cluster.list<Event>('v1', 'Event', namespace);
  return { job, pods, problems: well ? [] : jobProblems(job, { pods, events }) };
}

async function explainFailure(cluster: Cluster, job: Job, problems: readonly Problem[]): Promise<string> {
  const { name, namespace = '' } = job.metadata;
  const reports = await Promise.all(problems.map(problem => report(cluster, namespace, problem)));
  return [`Job/${name} failed: ${condition(job, 'Failed')?.message ?? 'no reason given'}`, ...reports].join('\n');
}

/**
 * Follows a Job to its end.
 *
 * @throws CommandError when it cannot start, is deleted by somebody else, or may not be seen. It may go on then.
 */
export async function followJob(cluster: Cluster, started: Job, { signal, onLine, onProgress }: FollowProps): Promise<JobEnd> {
  const { name } = started.metadata;
  const done = new AbortController();
  const logs = new Logs(cluster, onLine, AbortSignal.any([signal, done.signal]));
  const firstSeen = new Map<string, number>();
  try {
    for (;;) {
      const { job, pods, problems } = await patiently(() => look(cluster, started), { signal, onProgress });
      if (job === undefined) throw new CommandError(`Job/${name} is gone: somebody deleted it meanwhile`, 'run the command again');
      if (hasEnded(job)) {
        await logs.drain(pods);
        return hasSucceeded(job)
          ? { succeeded: true, problem: '' }
          : { succeeded: false, problem: await explainFailure(cluster, job, problems) };
      }
      logs.follow(pods);
      const now = Date.now();
      const key = ({ object, reason }: Problem): string => `${object} ${reason}`;
      for (const problem of problems) if (!firstSeen.has(key(problem))) firstSeen.set(key(problem), now);
      const seconds = (problem: Problem): number => (now - (firstSeen.get(key(problem)) ?? now)) / 1000;
      if (problems.some(problem => seconds(problem) >= (problem.hopelessAfterSeconds ?? Number.POSITIVE_INFINITY))) {
        throw new CommandError([`Job/${name} does not start.`, ...problems.map(describeProblem)].join('\n'));
      }
      if (problems.length > 0) onProgress(problems.map(({ object, reason, message }) => `${object} ${reason}: ${message}`).join('\n'));
      await sleep(POLL_MILLISECONDS, undefined, { signal });
    }
  } finally {
    done.abort();
  }
}

/**
 * Deletes a Job, and waits until its pods have stopped.
 *
 * @returns The names of the containers that had begun until then.
 * @throws CommandError when a pod does not stop.
 */
export async function stopJob(cluster: Cluster, job: Job, onProgress: (text: string) => void): Promise<Set<string>> {
  const begun = new Set<string>();
  const start = Date.now();
  const seconds = (job.spec?.template.spec?.terminationGracePeriodSeconds ?? 30) + AWAY_SECONDS;
  await deleteJob(cluster, job);
  for (;;) {
    const pods = await podsOfJob(cluster, job);
    for (const { name } of pods.flatMap(followed)) begun.add(name);
    const [pod] = pods;
    if (pod === undefined) return begun;
    if ((Date.now() - start) / 1000 > seconds) {
      throw new CommandError(
        `Pod/${pod.metadata.name} does not stop`,
        `see that its node ${pod.spec?.nodeName ?? ''} is well: kubectl get nodes`,
      );
    }
    onProgress(`Pod/${pod.metadata.name} stops`);
    await sleep(POLL_MILLISECONDS);
  }
}
