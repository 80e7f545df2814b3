import { ownImages } from './images';
import type { Settings } from './schema';

/** Most Gunicorn workers: the GPU is the bottleneck, so more would only cost memory. */
const MAX_WORKERS = 8;
/** Room for the multipart envelope around a picture, in MiB. */
const ENVELOPE_MEBIBYTES = 1;
/** A load may take this many times as long as measured before a pod counts as stuck. */
const LOAD_MARGIN = 2;
/** For the processes themselves to start and stop, in seconds. */
const PROCESS_SECONDS = 30;

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

const INGRESS_CLASS = { traefik: 'traefik', 'ingress-nginx': 'nginx' } as const;

export const ingressClassName = ({ edge }: Settings): string => edge.className ?? INGRESS_CLASS[edge.dialect];

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
  return [
    { path: 'host', value: settings.host },
    { path: 'images.registry', value: settings.images.registry },
    ...(certificate.source === 'lets-encrypt' ? [{ path: 'edge.certificate.email', value: certificate.email }] : []),
  ]
    .filter(({ value }) => PLACEHOLDER.test(value))
    .map(({ path, value }) => ({ path, message: `still the placeholder ${value}` }));
}

/** Images of production that are named by a tag, which can be moved to another image. */
export function movableImages({ environment, images }: Settings): Remark[] {
  if (environment !== 'production') return [];
  return [
    ...ownImages
      .filter(name => !images.digests[name])
      .map(name => ({ path: `images.digests.${name}`, message: 'not set, so the image is named by its tag alone' })),
    ...(images.pin === 'tag' ? [{ path: 'images.pin', message: "tag, so others' images are named by their tags alone" }] : []),
  ];
}

export const remarks = (settings: Settings): Remark[] => [...placeholders(settings), ...movableImages(settings)];
