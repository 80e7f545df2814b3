import { edgeRemarks } from './edge';
import { ownImages, pinnedOwn } from './images';
import type { BundledStack, ClaimSettings, OperatorStack, Settings } from './schema';

/** Most Gunicorn workers: the GPU is the bottleneck, so more would only cost memory. */
const MAX_WORKERS = 8;
/** Room for the multipart envelope around a picture, in MiB. */
const ENVELOPE_MEBIBYTES = 1;
/** A load may take this many times as long as measured before a pod counts as stuck. */
const LOAD_MARGIN = 2;
/** For the processes themselves to start and stop, in seconds. */
const PROCESS_SECONDS = 30;
const HOUR_SECONDS = 3600;

/** Gunicorn's formula for the CPU limit of the api container. */
export const maxWorkers = (settings: Settings): number => Math.min(Math.floor(settings.backend.api.limits.cpu * 2) + 1, MAX_WORKERS);

export const workers = (settings: Settings): number => settings.performance.gunicorn.workers ?? maxWorkers(settings);

/** Seconds in which the model must be loaded, the first download included. */
export function startupSeconds({ backend, model }: Settings): number {
  if (backend.startupSeconds !== undefined) return backend.startupSeconds;
  const download = model.engine === 'hunyuan3d' && !model.offline ? model.downloadSeconds : 0;
  return model.loadSeconds * LOAD_MARGIN + download;
}

/** Seconds in which jobs under way may finish before the pod is stopped. */
export const drainSeconds = ({ backend, model, performance }: Settings): number =>
  backend.drainSeconds ?? model.jobTimeoutSeconds + performance.gunicorn.gracefulTimeoutSeconds;

/** Seconds between SIGTERM and SIGKILL. */
export const terminationSeconds = (settings: Settings): number => drainSeconds(settings) + PROCESS_SECONDS;

/** Seconds after which a rollout counts as failed: the old pod's drain, then the new one's start. */
export const progressDeadlineSeconds = (settings: Settings): number =>
  terminationSeconds(settings) + startupSeconds(settings) + 2 * PROCESS_SECONDS;

export type RolloutStrategy = 'Recreate' | 'RollingUpdate';

/**
 * A rolling update starts the new pod before the old one stops. That needs a GPU to spare and volumes that two pods can
 * mount on different nodes; without either it would wait for ever, so the old pod goes first.
 */
export function rolloutStrategy({ backend, gpu, storage }: Settings): RolloutStrategy {
  const spareGpu = gpu.perPod === 0 || gpu.available >= (backend.replicas + 1) * gpu.perPod;
  const shared = [storage.outputs, storage.huggingfaceCache, storage.hy3dgenCache].every(
    ({ accessMode }) => accessMode === 'ReadWriteMany',
  );
  return spareGpu && shared ? 'RollingUpdate' : 'Recreate';
}

/** The studio's own Prometheus and Grafana, where it has them. */
export const bundledStack = ({ monitoring: { metrics, stack } }: Settings): BundledStack | undefined =>
  metrics && stack.mode === 'bundled' ? stack : undefined;

/** The Prometheus Operator that watches the studio, where one does. */
export const operatorStack = ({ monitoring: { metrics, stack } }: Settings): OperatorStack | undefined =>
  metrics && stack.mode === 'operator' ? stack : undefined;

/** Whether backups take the data of the studio's own Prometheus and Grafana. */
export const backsUpMonitoring = (settings: Settings): boolean =>
  settings.backup.enabled && settings.backup.monitoring && bundledStack(settings) !== undefined;

/**
 * Whether they read the volumes of these themselves: they have Prometheus make a snapshot then, and find both where the
 * backend is.
 */
export const readsMonitoringVolumes = (settings: Settings): boolean =>
  backsUpMonitoring(settings) && settings.backup.readFrom === 'volumes';

/** Share of web's scratch space for bodies; one client may fill a quarter of it. */
export const WEB_ROOM = 0.8;

/** Room in MiB for restic's cache, and for a copy of Grafana's database. */
export const BACKUP_CACHE_MEBIBYTES = 1024;

/** Scratch space of a backup in MiB: a dump of Redis comes to the cache. */
export const backupScratchMebibytes = ({ redis }: Settings): number => redis.maxMemoryMebibytes + BACKUP_CACHE_MEBIBYTES;

export interface Route {
  readonly host: string;
  /** Path and everything below it. */
  readonly path: string;
}

/** Where people reach Grafana from outside, where they do. */
export function grafanaRoute(settings: Settings): Route | undefined {
  const access = bundledStack(settings)?.grafana.access;
  switch (access?.by) {
    case 'path':
      return { host: settings.host, path: access.path };
    case 'host':
      return { host: access.host, path: '/' };
    default:
      return undefined;
  }
}

/** Every name that the studio's certificate is for. */
export const hosts = (settings: Settings): string[] => [...new Set([settings.host, grafanaRoute(settings)?.host ?? settings.host])];

/** A Service of the cluster, written `<service>.<namespace>:<port>`. */
export interface ServiceAddress {
  readonly host: string;
  readonly namespace: string;
  readonly port: number;
}

export function addressOf(endpoint: string): ServiceAddress {
  const [name, port] = endpoint.split(':') as [string, string];
  return { host: `${name}.svc`, namespace: name.split('.')[1] as string, port: Number(port) };
}

/** The Service that a URL names, as `<service>.<namespace>:<port>`; none for an address outside of the cluster. */
export function serviceOf(url: string): string | undefined {
  const { hostname, port, protocol } = new URL(url);
  const name = /^([a-z0-9-]+\.[a-z0-9-]+)\.svc(\.cluster\.local)?$/.exec(hostname)?.[1];
  return name && `${name}:${port || (protocol === 'https:' ? 443 : 80)}`;
}

/** Share of its claim that Prometheus may fill: compaction writes a block before it removes the ones that it was made of. */
const METRICS_SHARE = 0.8;

/** Size in MiB beyond which Prometheus drops its oldest samples. */
export const metricsMebibytes = ({ gibibytes }: ClaimSettings): number => Math.floor(gibibytes * 1024 * METRICS_SHARE);

export const maxFileBytes = ({ uploads }: Settings): number => uploads.maxMebibytes * 2 ** 20;

/** Largest request body: the picture and the form around it. */
export const maxBodyBytes = (settings: Settings): number => maxFileBytes(settings) + ENVELOPE_MEBIBYTES * 2 ** 20;

/** Something that a person should know of, but that does not keep the manifests from being made. */
export interface Remark {
  readonly path: string;
  readonly message: string;
}

/** Host names that RFC 2606 reserves for examples stand for ones that the operator must fill in. */
const PLACEHOLDER = /(^|[.@/])example\.(com|org|net)\b/;

/** Settings that still name an example host: `orfeas deploy` refuses them. */
export function placeholders(settings: Settings): Remark[] {
  const { certificate } = settings.edge;
  const { enabled, repository } = settings.backup;
  const grafana = bundledStack(settings)?.grafana.access;
  return [
    { path: 'host', value: settings.host },
    { path: 'images.registry', value: settings.images.registry },
    { path: 'images.mirror', value: settings.images.mirror ?? '' },
    ...(certificate.source === 'lets-encrypt' ? [{ path: 'edge.certificate.email', value: certificate.email }] : []),
    ...(grafana?.by === 'host' ? [{ path: 'monitoring.stack.grafana.access.host', value: grafana.host }] : []),
    ...(enabled && repository.at === 's3' ? [{ path: 'backup.repository.endpoint', value: repository.endpoint }] : []),
    ...(enabled && repository.at === 'rest' ? [{ path: 'backup.repository.url', value: repository.url }] : []),
    ...(enabled && repository.at === 'sftp' ? [{ path: 'backup.repository.host', value: repository.host }] : []),
  ]
    .filter(({ value }) => PLACEHOLDER.test(value))
    .map(({ path, value }) => ({ path, message: `still the placeholder ${value}` }));
}

/** Images of production that are named by a tag, which can be moved to another image. */
export function movableImages({ environment, images }: Settings): Remark[] {
  if (environment !== 'production') return [];
  return [
    ...ownImages
      .map(name => pinnedOwn(images, name))
      .filter(({ digest }) => digest === undefined)
      .map(({ image }) => ({
        path: 'images.version',
        message: `${image} has no digest in config/images.lock.json, so its tag alone names it; orfeas images lock writes it after a push`,
      })),
    ...(images.pin === 'tag' ? [{ path: 'images.pin', message: 'tag, so images are named by their tags alone' }] : []),
  ];
}

/** Links of alerts that lead to an example host. */
export const unpublishedRunbooks = ({ environment, monitoring }: Settings): Remark[] =>
  environment !== 'local' && monitoring.metrics && PLACEHOLDER.test(monitoring.runbooks)
    ? [{ path: 'monitoring.runbooks', message: `still the placeholder ${monitoring.runbooks}, so the links of alerts lead nowhere` }]
    : [];

/** A repository of an example: only Argo CD asks for it, so `orfeas deploy` does not mind. */
const unnamedRepository = ({ environment, gitops }: Settings): Remark[] =>
  environment !== 'local' && PLACEHOLDER.test(gitops.repository)
    ? [{ path: 'gitops.repository', message: `still the placeholder ${gitops.repository}, so Argo CD finds nothing to deploy` }]
    : [];

const ANY_ADDRESS = ['0.0.0.0/0', '::/0'];

const wideApiServer = ({ network: { apiServer } }: Settings): Remark[] => {
  const any = apiServer.filter(range => ANY_ADDRESS.includes(range));
  return any.length > 0
    ? [
        {
          path: 'network.apiServer',
          message:
            `${any.join(' and ')} lets Prometheus and the backup reach any address at its ports: ` +
            'name what `kubectl get endpointslices kubernetes` says',
        },
      ]
    : [];
};

export const remarks = (settings: Settings): Remark[] => [
  ...placeholders(settings),
  ...movableImages(settings),
  ...unpublishedRunbooks(settings),
  ...unnamedRepository(settings),
  ...wideApiServer(settings),
  ...edgeRemarks(settings),
];

/** Longest that a schedule leaves between two backups, and two hours for the backup itself. */
export function backupMaxAgeSeconds({ backup }: Settings): number {
  const [, , dayOfMonth, month, dayOfWeek] = backup.schedule.split(' ');
  const days = month !== '*' ? 366 : dayOfMonth !== '*' ? 31 : dayOfWeek !== '*' ? 7 : 1;
  return (days * 24 + 2) * HOUR_SECONDS;
}
