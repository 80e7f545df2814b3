import type { CronJob, Job, KubernetesObject, Pod } from '../../cli/objects';
import type { FakeCluster } from './fake-cluster';

type State = 'running' | 'succeeded' | 'failed';
type Container = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

/** What a Job's pod does. */
export interface Performance {
  /** What its containers wrote so far, as documents or as they are. Init containers are those whose names start with `stage-`. */
  readonly logs?: Readonly<Record<string, readonly (object | string)[]>>;
  /** `running` until the test ends it. */
  readonly state?: State;
  /** Of a pod that does not start. */
  readonly waiting?: string;
}

/** Stands for the controller of Jobs, and for the image of the backup. */
export class FakeJobs {
  /** Jobs that a client made, the oldest first. */
  readonly made: Job[] = [];
  /** Says what a Job does, by the name of its CronJob and its arguments. */
  perform: (cronJob: string, job: Job) => Performance = () => ({});

  constructor(
    private readonly cluster: FakeCluster,
    private readonly namespace: string,
  ) {
    cluster.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    this.putCronJob('backup', ['archive']);
    this.putCronJob('backup-repository', ['repository']);
    this.putCronJob('backup-import', ['repository']);
    this.putCronJob('restore', ['commit-backend', 'commit-redis'], ['stage-backend', 'stage-redis']);
    cluster.onCreate = object => {
      if (object.kind === 'Job') this.begin(object as unknown as Job);
    };
  }

  /** Jobs that a client made of a CronJob, the oldest first. */
  of(cronJob: string): Job[] {
    return this.made.filter(({ metadata }) => metadata.ownerReferences?.[0]?.name === cronJob);
  }

  /** What the Job does from now on. */
  set(job: Job, { logs = {}, state = 'succeeded', waiting }: Performance): void {
    const { name } = job.metadata;
    const containers = Object.keys(logs).map((container): Container => {
      const lines = logs[container] ?? [];
      this.cluster.logs.set(
        `${name}-pod/${container}`,
        lines.map(line => (typeof line === 'string' ? line : JSON.stringify(line))),
      );
      const ended = { terminated: { exitCode: state === 'failed' ? 1 : 0, containerID: container } };
      return {
        name: container,
        image: 'backup',
        imageID: '',
        containerID: container,
        ready: false,
        restartCount: 0,
        state: state === 'running' ? { running: {} } : ended,
      };
    });
    const isInit = ({ name: container }: Container): boolean => container.startsWith('stage-');
    const unscheduled = [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: waiting ?? '' }];
    this.cluster.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `${name}-pod`,
        namespace: this.namespace,
        labels: { 'batch.kubernetes.io/job-name': name },
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid: job.metadata.uid ?? '' }],
      },
      spec: job.spec?.template.spec,
      status: {
        phase: { running: 'Running', succeeded: 'Succeeded', failed: 'Failed' }[state],
        ...(waiting !== undefined && { conditions: unscheduled }),
        initContainerStatuses: containers.filter(isInit),
        containerStatuses: containers.filter(container => !isInit(container)),
      },
    });
    const condition = { succeeded: 'Complete', failed: 'Failed' }[state as 'succeeded' | 'failed'];
    const live = (this.cluster.find('Job', name) ?? job) as unknown as KubernetesObject;
    this.cluster.put({
      ...live,
      apiVersion: 'batch/v1',
      kind: 'Job',
      status: condition ? { conditions: [{ type: condition, status: 'True', message: 'it has ended' }] } : {},
    });
  }

  /** A Job that is there already, as one of the schedule is. */
  put(
    cronJob: string,
    name: string,
    performance: Performance,
    job: { env?: Record<string, string>; annotations?: Record<string, string> } = {},
  ): Job {
    const env = Object.entries(job.env ?? {}).map(([key, value]) => ({ name: key, value }));
    const object = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: {
        name,
        namespace: this.namespace,
        uid: name,
        creationTimestamp: '2026-01-01T00:00:00Z',
        annotations: job.annotations ?? {},
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name: cronJob, uid: cronJob, controller: true }],
      },
      spec: { template: { spec: { containers: [{ name: 'a', env }] } } },
    };
    this.set(object as Job, performance);
    return object as Job;
  }

  private begin(job: Job): void {
    this.made.push(job);
    job.metadata.creationTimestamp = `2026-01-02T00:00:0${this.made.length}Z`;
    this.set(job, this.perform(job.metadata.ownerReferences?.[0]?.name ?? '', job));
  }

  private putCronJob(name: string, containers: readonly string[], initContainers: readonly string[] = []): void {
    const labels = { 'app.kubernetes.io/name': name };
    const container = (each: string) => ({
      name: each,
      image: 'backup',
      args: [name],
      env: [{ name: 'NAMESPACE', value: this.namespace }],
    });
    const cronJob: CronJob = {
      metadata: { name, namespace: this.namespace, uid: name },
      spec: {
        schedule: '0 3 * * *',
        suspend: name !== 'backup',
        jobTemplate: {
          metadata: { labels },
          spec: {
            backoffLimit: 2,
            ttlSecondsAfterFinished: 3600,
            template: {
              metadata: { labels },
              spec: { restartPolicy: 'Never', initContainers: initContainers.map(container), containers: containers.map(container) },
            },
          },
        },
      },
    };
    this.cluster.put({ ...cronJob, apiVersion: 'batch/v1', kind: 'CronJob' } as unknown as KubernetesObject);
  }
}
