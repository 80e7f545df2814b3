import { k8s } from 'cdk8s-plus-28';
import { type UpstreamName, upstreamImage } from '../config/images';
import type { Settings } from '../config/schema';
import type { Claim } from './claim';
import { restrictedContainer, toResources } from './restricted';
import type { MetricsPort } from './workload';

interface ExporterProps {
  readonly name: string;
  readonly image: UpstreamName;
  readonly port: MetricsPort;
  readonly args: readonly string[];
  readonly mounts?: readonly k8s.VolumeMount[];
}

/**
 * A container beside a workload's own that tells Prometheus of it. The pod is ready or not without regard to what the
 * exporter finds: its probes ask for no more than that it answers.
 */
function exporter({ images, monitoring }: Settings, uid: number, { name, image, port, args, mounts }: ExporterProps): k8s.Container {
  const portName = k8s.IntOrString.fromString(port.name);
  return {
    name,
    image: upstreamImage(images, image),
    imagePullPolicy: images.pullPolicy,
    args: [...args],
    ports: [{ name: port.name, containerPort: port.number }],
    resources: toResources(monitoring.exporter),
    securityContext: restrictedContainer(uid),
    startupProbe: { tcpSocket: { port: portName }, periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { httpGet: { path: '/', port: portName }, periodSeconds: 30, timeoutSeconds: 5, failureThreshold: 3 },
    livenessProbe: { tcpSocket: { port: portName }, periodSeconds: 30, timeoutSeconds: 5, failureThreshold: 3 },
    ...(mounts && { volumeMounts: [...mounts] }),
  };
}

export const REDIS_EXPORTER_PORT: MetricsPort = { name: 'metrics', number: 9121 };
export const NGINX_EXPORTER_PORT: MetricsPort = { name: 'metrics-nginx', number: 9113 };
export const VOLUME_EXPORTER_PORT: MetricsPort = { name: 'metrics-volume', number: 9100 };

/**
 * Redis as it sees itself: memory, evictions, connections, persistence.
 *
 * @param run where the pod keeps the password that it made for the exporter alone
 */
export const redisExporter = (settings: Settings, uid: number, run: k8s.VolumeMount): k8s.Container =>
  exporter(settings, uid, {
    name: 'redis-exporter',
    image: 'redisExporter',
    port: REDIS_EXPORTER_PORT,
    args: [
      '--redis.addr=redis://127.0.0.1:6379',
      '--redis.user=exporter',
      `--redis.password-file=${run.mountPath}/exporter.json`,
      '--redis-only-metrics',
    ],
    mounts: [{ ...run, readOnly: true }],
  });

/** nginx's connections, from its stub_status. */
export const nginxExporter = (settings: Settings, uid: number, statusUrl: string): k8s.Container =>
  exporter(settings, uid, {
    name: 'nginx-exporter',
    image: 'nginxExporter',
    port: NGINX_EXPORTER_PORT,
    args: [`--nginx.scrape-uri=${statusUrl}`, `--web.listen-address=:${NGINX_EXPORTER_PORT.number}`],
  });

/** How full a claim is. Only a pod that mounts it can tell without rights in the whole cluster. */
export const volumeExporter = (settings: Settings, uid: number, { volume }: Claim): k8s.Container =>
  exporter(settings, uid, {
    name: 'volume-exporter',
    image: 'nodeExporter',
    port: VOLUME_EXPORTER_PORT,
    args: [
      '--collector.disable-defaults',
      '--collector.filesystem',
      '--collector.filesystem.mount-points-include=^/volumes/',
      '--collector.filesystem.fs-types-exclude=^$',
      '--web.disable-exporter-metrics',
    ],
    mounts: [{ name: volume.name, mountPath: `/volumes/${volume.name}`, readOnly: true }],
  });
