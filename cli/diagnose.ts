import type { Claim, Deployment, Event, Job, Pod, StatefulSet } from './objects';

/** Why something does not run. */
export interface Problem {
  /** Such as `Pod/backend-7c9f`. */
  readonly object: string;
  /** Those of its containers that it is about. */
  readonly containers?: readonly string[];
  /** One word, as Kubernetes names it. */
  readonly reason: string;
  readonly message: string;
  readonly remedy?: string;
  /** Waiting does not mend it once it has lasted so long; absent where waiting may. */
  readonly hopelessAfterSeconds?: number;
  /** Where a container may have written why. */
  readonly logs?: { readonly pod: string; readonly container: string; readonly previous: boolean; readonly lines: number };
}

export interface Observation {
  readonly pods: readonly Pod[];
  readonly claims: readonly Claim[];
  readonly events: readonly Event[];
}

type Workload = (Deployment | StatefulSet) & { kind?: string };
type ContainerStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

/** Restarts that show that a container will not come up by itself. */
const HOPELESS_RESTARTS = 3;
/** A registry may be slow to answer once. */
const PULL_SECONDS = 20;
/** The kubelet may not have seen a new Secret yet, nor a controller that its pod is to be replaced. */
const SETTLE_SECONDS = 10;
/** A node that leaves, or a pod that stops, may make room. */
const SCHEDULING_SECONDS = 60;
/** A clone may be a copy of all that a volume has. */
const CLONING_SECONDS = 3600;
/** Last lines of a container that ended, and of one that still runs. */
const CRASH_LINES = 20;
const WAIT_LINES = 5;

/** The first pattern that matches tells the remedy; `$1` stands for its first group. */
type Remedies = readonly (readonly [pattern: RegExp, remedy: string])[];

const remedyFor = (message: string, remedies: Remedies): { remedy?: string } => {
  for (const [pattern, remedy] of remedies) {
    const match = pattern.exec(message);
    if (match) return { remedy: remedy.replace(/\$(\d)/g, (_, group: string) => match[Number(group)] ?? '') };
  }
  return {};
};

const scheduling: Remedies = [
  [
    /Insufficient (\S+\/[^\s,.]+(?:\.[^\s,.]+)*)/,
    'give a node $1 (its device plugin advertises it), free one that is taken, or lower gpu.perPod',
  ],
  [/Insufficient (cpu|memory|ephemeral-storage)/, 'free $1 on a node, add a node, or lower the requests in config/'],
  [/Too many pods/, 'add a node: each holds a limited number of pods'],
  [/persistentvolumeclaim "([^"]+)" not found/, 'make the claim $1: orfeas deploy'],
  [/unbound immediate PersistentVolumeClaims/, 'see why the claim is not bound: orfeas status lists the claims'],
  [
    /volume node affinity conflict/,
    "the volume lives on a node or in a zone that cannot take the pod: make room there, or use a storage class that isn't tied to one",
  ],
  [/untolerated taint/, 'add the taint to gpu.tolerations, or remove it from the node'],
  [/node affinity\/selector|node selector/, 'label a node as gpu.nodeSelector asks, or change gpu.nodeSelector'],
];

const configuration: Remedies = [
  [/secret "(orfeas-tls)" not found/, 'make it: orfeas tls'],
  [/secret "orfeas-[^"]+" not found/, 'make it: orfeas secrets'],
  [/secret "([^"]+)" not found/, 'make it: a setting names it, and orfeas deploy tells which keys it has'],
  [/MountVolume.SetUp failed for volume "([^"]+)" : references non-existent secret key: (\S+)/, 'add $2 to the Secret $1: orfeas secrets'],
  [/configmap "([^"]+)" not found|couldn't find key \S+ in ConfigMap/, 'apply the manifests again: orfeas deploy'],
  [/runAsNonRoot|non-numeric user/, 'build the image with a numeric USER other than 0'],
];

const pulling: Remedies = [
  [
    /not found|manifest unknown|does not exist/,
    'build the image (orfeas deploy without --skip-build), push it, or mend images.registry and images.version',
  ],
  [
    /unauthorized|denied|authentication required|403 Forbidden/i,
    'name a Secret with the credentials of the registry in images.pullSecrets',
  ],
  [
    /no such host|connection refused|i\/o timeout|deadline exceeded|TLS|x509/,
    'see that the nodes reach the registry, or load the image into the cluster by ORFEAS_IMAGE_LOAD',
  ],
];

const creation: Remedies = [
  [/exceeded quota/, 'lower the requests in config/, or raise the quota of the namespace'],
  [/PodSecurity/, 'the namespace admits restricted pods only: mend the security context'],
  [/(maximum|minimum) .* usage per/, 'stay within the LimitRange of the namespace'],
  [/serviceaccount ".*" not found/, 'wait for the cluster to make it, then deploy again'],
];

const mounting: Remedies = [
  ...configuration,
  [/Multi-Attach|already exclusively attached/, 'wait for the old pod to release the volume, or delete the pod if its node is gone'],
];

const isTrue = (pod: Pod, type: string): boolean =>
  pod.status?.conditions?.some(condition => condition.type === type && condition.status === 'True') ?? false;

export const isReady = (pod: Pod): boolean => isTrue(pod, 'Ready');

const newestFirst = (events: readonly Event[]): Event[] => {
  const time = ({ lastTimestamp, eventTime, metadata }: Event): string => lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? '';
  return [...events].sort((a, b) => time(b).localeCompare(time(a)));
};

const eventsOf = (events: readonly Event[], kind: string, name: string): Event[] =>
  newestFirst(events.filter(({ involvedObject }) => involvedObject.kind === kind && involvedObject.name === name));

/** Exit codes that say more than their number. */
const exits: Readonly<Record<number, string>> = {
  126: 'its command cannot be executed',
  127: 'its command is not in the image',
  137: 'it was killed',
  139: 'it crashed (segmentation fault)',
  143: 'it was told to stop',
};

function exitProblem(object: string, pod: Pod, status: ContainerStatus): Problem | undefined {
  const waiting = status.state?.waiting !== undefined;
  const ended = status.state?.terminated ?? status.lastState?.terminated;
  if (ended === undefined || (ended.exitCode === 0 && !waiting)) return undefined;
  const hopeless = status.restartCount >= HOPELESS_RESTARTS ? { hopelessAfterSeconds: SETTLE_SECONDS } : {};
  const common = {
    object,
    containers: [status.name],
    ...hopeless,
    logs: { pod: pod.metadata.name, container: status.name, previous: status.state?.terminated === undefined, lines: CRASH_LINES },
  };
  const times = status.restartCount > 0 ? `, restarted ${status.restartCount} time(s)` : '';
  if (ended.reason === 'OOMKilled') {
    const limit = pod.spec?.containers.find(({ name }) => name === status.name)?.resources?.limits?.memory;
    return {
      ...common,
      reason: 'OOMKilled',
      message: `it used more memory than its limit of ${limit ?? '(none)'}${times}`,
      remedy: 'raise the memory limit in config/',
    };
  }
  const why = exits[ended.exitCode];
  const said = ended.message ? `: ${ended.message.trim()}` : '';
  return {
    ...common,
    reason: status.state?.waiting?.reason ?? ended.reason ?? 'Error',
    message: `it ended with exit code ${ended.exitCode}${why ? ` (${why})` : ''}${times}${said}`,
    remedy: 'its last lines say why; deploy again once that is mended',
  };
}

function waitingProblem(object: string, pod: Pod, status: ContainerStatus, events: readonly Event[]): Problem | undefined {
  const { reason = '', message = '' } = status.state?.waiting ?? {};
  const containers = [status.name];
  switch (reason) {
    case 'ErrImagePull':
    case 'ImagePullBackOff':
    case 'ErrImageNeverPull':
    case 'InvalidImageName': {
      // ImagePullBackOff only says that it waits; the event before it says what failed.
      const failure = events.find(
        event => event.reason === 'Failed' && event.message?.includes(status.image) && /pull/i.test(event.message),
      );
      const detail = failure?.message ?? message;
      const never = reason === 'ErrImageNeverPull';
      return {
        object,
        containers,
        reason: reason === 'ErrImagePull' ? 'ImagePullBackOff' : reason,
        message: detail.includes(status.image) ? detail : `${status.image}: ${detail}`,
        ...(never ? { remedy: 'build and load the image: orfeas deploy without --skip-build' } : remedyFor(detail, pulling)),
        hopelessAfterSeconds: never || reason === 'InvalidImageName' ? SETTLE_SECONDS : PULL_SECONDS,
      };
    }
    case 'CreateContainerConfigError':
      return { object, containers, reason, message, ...remedyFor(message, configuration), hopelessAfterSeconds: SETTLE_SECONDS };
    case 'CreateContainerError':
    case 'RunContainerError':
      return { object, containers, reason, message, hopelessAfterSeconds: PULL_SECONDS };
    case 'CrashLoopBackOff':
      return exitProblem(object, pod, status);
    default:
      return status.restartCount > 0 ? exitProblem(object, pod, status) : undefined;
  }
}

function containerProblem(object: string, pod: Pod, status: ContainerStatus, events: readonly Event[]): Problem | undefined {
  const { state = {} } = status;
  if (state.waiting) return waitingProblem(object, pod, status, events);
  if (state.terminated) return exitProblem(object, pod, status);
  if (status.ready) return undefined;
  const unhealthy = events.find(({ reason, message, involvedObject }) => {
    const container = involvedObject.fieldPath?.match(/\{(.+)\}/)?.[1];
    return reason === 'Unhealthy' && (container === undefined || container === status.name) && message !== undefined;
  });
  const starting = status.started !== true;
  const restarted = status.restartCount > 0 ? exitProblem(object, pod, status) : undefined;
  if (restarted && starting) {
    return { ...restarted, reason: 'Restarting', ...(unhealthy?.message && { message: `${restarted.message}; ${unhealthy.message}` }) };
  }
  return {
    object,
    containers: [status.name],
    reason: starting ? 'Starting' : 'NotReady',
    message: unhealthy?.message ?? (starting ? 'it has not started yet' : 'it does not answer its readiness probe'),
    logs: { pod: pod.metadata.name, container: status.name, previous: false, lines: WAIT_LINES },
  };
}

/** One problem for all containers that have the same. Those with logs of their own stay apart. */
function joined(problems: readonly Problem[]): Problem[] {
  const found = new Map<string, Problem>();
  for (const problem of problems) {
    const key = JSON.stringify([problem.reason, problem.message, problem.logs]);
    const { containers = [] } = found.get(key) ?? {};
    found.set(key, { ...problem, containers: [...containers, ...(problem.containers ?? [])] });
  }
  return [...found.values()];
}

/** What the scheduler says of a pod whose own claims have no volumes yet. */
const NO_VOLUMES_YET = /ephemeral volume controller|error getting PVC|unbound immediate PersistentVolumeClaims|binding volumes/;

const cloning: Remedies = [
  [/exceeded quota/, 'wait: the clones of an earlier backup go two minutes after its end'],
  [/./, "see that the storage class clones volumes and has room, or set backup.readFrom back to 'volumes'"],
];

/** That a pod waits for its clones, and what became of them, where it does. */
function cloningProblem({ metadata, spec }: Pod, object: string, message: string, events: readonly Event[]): Problem | undefined {
  const clones = (spec?.volumes ?? [])
    .filter(({ ephemeral }) => ephemeral?.volumeClaimTemplate?.spec.dataSource)
    .map(({ name }) => `${metadata.name}-${name}`);
  if (clones.length === 0 || !NO_VOLUMES_YET.test(message)) return undefined;
  const ofClaims = clones.flatMap(clone => eventsOf(events, 'PersistentVolumeClaim', clone)).filter(({ type }) => type === 'Warning');
  const refused = eventsOf(events, 'Pod', metadata.name).filter(({ reason }) => reason === 'FailedBinding');
  const [warning] = newestFirst([...ofClaims, ...refused]);
  return {
    object,
    reason: 'Cloning',
    message: warning?.message ?? 'its volumes are being cloned',
    ...remedyFor(warning?.message ?? '', cloning),
    hopelessAfterSeconds: CLONING_SECONDS,
  };
}

/** Why a pod is not ready; nothing when it is. */
export function podProblems(pod: Pod, { events: all }: Pick<Observation, 'events'>): Problem[] {
  const object = `Pod/${pod.metadata.name}`;
  const { status = {}, spec } = pod;
  const events = eventsOf(all, 'Pod', pod.metadata.name);
  if (pod.metadata.deletionTimestamp) {
    const seconds = pod.metadata.deletionGracePeriodSeconds ?? spec?.terminationGracePeriodSeconds ?? 30;
    return [{ object, reason: 'Terminating', message: `it finishes its work, for ${seconds} s at most` }];
  }
  if (isReady(pod) || status.phase === 'Succeeded') return [];
  if (status.reason === 'Evicted' || status.reason === 'NodeLost' || status.reason === 'Preempting') {
    return [
      {
        object,
        reason: status.reason,
        message: status.message ?? 'it had to leave its node',
        remedy: 'lower its use of what the node lacks, or add a node',
      },
    ];
  }

  const scheduled = status.conditions?.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status === 'False') {
    const message = scheduled.message ?? 'no node takes it';
    const waits = cloningProblem(pod, object, message, all);
    if (waits) return [waits];
    // An autoscaler that has taken it up will bring a node.
    const comes = events.some(({ reason }) => reason === 'TriggeredScaleUp' || reason === 'Nominated');
    const base = { object, reason: scheduled.reason ?? 'Unschedulable', message };
    return [
      comes
        ? { ...base, remedy: 'a node is on its way: wait' }
        : { ...base, ...remedyFor(message, scheduling), hopelessAfterSeconds: SCHEDULING_SECONDS },
    ];
  }

  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  const found = containers.map(container => containerProblem(object, pod, container, events)).filter(problem => problem !== undefined);
  if (found.length > 0) return joined(found);

  const warning = events.find(({ type }) => type === 'Warning');
  if (warning?.message) {
    return [{ object, reason: warning.reason ?? 'Warning', message: warning.message, ...remedyFor(warning.message, mounting) }];
  }
  const lost = status.conditions?.find(({ type, reason }) => type === 'Ready' && reason === 'NodeStatusUnknown');
  if (lost)
    return [{ object, reason: 'NodeLost', message: `its node ${spec?.nodeName ?? ''} does not answer`, remedy: 'mend or remove the node' }];
  return [{ object, reason: 'Starting', message: status.phase === 'Pending' ? 'its containers are being made' : 'it is not ready yet' }];
}

/** Why a claim has no volume; nothing when it has. */
export function claimProblems(claim: Claim, { events }: Pick<Observation, 'events'>): Problem[] {
  const object = `PersistentVolumeClaim/${claim.metadata.name}`;
  if (claim.status?.phase === 'Lost') {
    return [
      {
        object,
        reason: 'Lost',
        message: `its volume ${claim.spec?.volumeName} is gone`,
        remedy: 'bring the volume back, or restore a backup',
      },
    ];
  }
  if (claim.status?.phase === 'Bound') return [];
  const [event] = eventsOf(events, 'PersistentVolumeClaim', claim.metadata.name);
  const waits = event?.reason === 'WaitForFirstConsumer' || event?.reason === 'WaitForPodScheduled';
  return [
    {
      object,
      reason: event?.reason ?? 'Pending',
      message: event?.message ?? 'no volume yet',
      ...(event?.type === 'Warning' && { remedy: 'see that its storage class exists and has room: kubectl get storageclass' }),
      ...(waits && { remedy: 'it gets its volume with the first pod that uses it' }),
    },
  ];
}

const matches = (pod: Pod, { spec }: Workload): boolean =>
  Object.entries(spec?.selector.matchLabels ?? {}).every(([key, value]) => pod.metadata.labels?.[key] === value);

export const podsOf = (workload: Workload, pods: readonly Pod[]): Pod[] => pods.filter(pod => matches(pod, workload));

/** Why no pod could be made at all: a quota, or the rules of the namespace. */
function creationProblems(workload: Workload, object: string, events: readonly Event[]): Problem[] {
  const name = workload.metadata.name;
  const condition = (workload as Deployment).status?.conditions?.find(({ type, status }) => type === 'ReplicaFailure' && status === 'True');
  const event = newestFirst(events).find(
    ({ reason, involvedObject }) => reason === 'FailedCreate' && involvedObject.kind === 'StatefulSet' && involvedObject.name === name,
  );
  const message = condition?.message ?? event?.message;
  if (message === undefined) return [];
  return [{ object, reason: 'FailedCreate', message, ...remedyFor(message, creation), hopelessAfterSeconds: SCHEDULING_SECONDS }];
}

/** A StatefulSet waits for a pod to become ready before it replaces it, so a broken one stays. */
function stuckProblems({ kind, status }: Workload, pod: Pod): Problem[] | undefined {
  const { updateRevision } = (status ?? {}) as NonNullable<StatefulSet['status']>;
  const revision = pod.metadata.labels?.['controller-revision-hash'];
  if (kind !== 'StatefulSet' || !updateRevision || revision === updateRevision || isReady(pod) || pod.metadata.deletionTimestamp)
    return undefined;
  const { name, namespace } = pod.metadata;
  return [
    {
      object: `Pod/${name}`,
      reason: 'Stuck',
      message: 'it is of an older revision and not ready, and a StatefulSet replaces only pods that are',
      remedy: `delete it, its data stays: kubectl --namespace ${namespace} delete pod ${name}`,
      hopelessAfterSeconds: SCHEDULING_SECONDS,
    },
  ];
}

/** All that keeps a workload from being ready. */
export function workloadProblems(workload: Workload, observation: Observation): Problem[] {
  const object = `${workload.kind}/${workload.metadata.name}`;
  const pods = podsOf(workload, observation.pods);
  const mounted = new Set(
    workload.spec?.template.spec?.volumes
      ?.map(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName)
      .filter(name => name !== undefined),
  );
  const found = pods.flatMap(pod => stuckProblems(workload, pod) ?? podProblems(pod, observation));
  const claims = observation.claims
    .filter(({ metadata }) => mounted.has(metadata.name))
    .flatMap(claim => claimProblems(claim, observation));
  // A claim that waits for the pod says nothing that the pod does not.
  found.push(...claims.filter(({ reason }) => found.length === 0 || !reason.startsWith('WaitFor')));
  // A StatefulSet keeps no condition: what refused its pod no longer matters once there is one.
  if (workload.kind === 'Deployment' || pods.length === 0) found.push(...creationProblems(workload, object, observation.events));
  return found.length > 0 ? found : [{ object, reason: 'Starting', message: 'its pods are being made' }];
}

/** What keeps a Job from starting: its pod, or why there is none. */
export function jobProblems({ metadata: { name } }: Job, { pods, events }: Pick<Observation, 'pods' | 'events'>): Problem[] {
  const object = `Job/${name}`;
  if (pods.length > 0) return pods.flatMap(pod => podProblems(pod, { events }));
  const message = eventsOf(events, 'Job', name).find(({ reason }) => reason === 'FailedCreate')?.message;
  return message === undefined
    ? [{ object, reason: 'Starting', message: 'its pod is being made' }]
    : [{ object, reason: 'FailedCreate', message, ...remedyFor(message, creation), hopelessAfterSeconds: SCHEDULING_SECONDS }];
}

/** One problem as a person reads it. */
export const describeProblem = ({ object, containers, reason, message, remedy }: Problem): string =>
  `${object}${containers ? ` (${containers.join(', ')})` : ''} is ${reason}: ${message}${remedy ? `\n  → ${remedy}` : ''}`;
