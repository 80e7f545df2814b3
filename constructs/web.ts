import { k8s, Service } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import { ownImage } from '../config/images';
import type { Settings } from '../config/schema';
import type { Backend } from './backend';
import { ConfigFiles } from './config-files';
import { DisruptionBudget } from './disruption-budget';
import { NGINX_EXPORTER_PORT, nginxExporter } from './exporter';
import { type Labels, podLabels, selectorLabels } from './labels';
import { restrictedContainer, restrictedPod, scratch, toResources } from './restricted';
import { type Footprint, type MetricsPort, pullSecrets, spread, type Workload } from './workload';

/** User and group of images/web. */
const UID = 10002;
const CONFIG = '/etc/nginx/orfeas';
/** Where nginx tells of the requests that it has served. */
const METRICS_PORT: MetricsPort = { name: 'metrics', number: 9114 };
/** Where nginx tells the exporter beside it of its connections. */
const STATUS_PORT = 8081;
/** Seconds for the endpoints to forget a stopping pod before it closes its port. */
const DEREGISTER_SECONDS = 5;

/** Seconds for requests under way to end on a stop. */
const SHUTDOWN_SECONDS = 30;

/** nginx counts a burst beyond the first request, and takes none of 0. */
const burst = (atOnce: number): string => (atOnce > 1 ? `burst=${atOnce - 1}` : '');

export interface WebProps {
  readonly settings: Settings;
  readonly backend: Backend;
  /** Annotations that the edge's dialect reads on a Service. */
  readonly serviceAnnotations: Readonly<Record<string, string>>;
}

/** nginx: the studio's page, and the way to the backend with limits per client address. */
export class Web extends Construct implements Workload {
  readonly name = 'web';
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[];
  readonly port = 8080;
  readonly service: Service;

  constructor(scope: Construct, id: string, { settings, backend, serviceAnnotations }: WebProps) {
    super(scope, id);
    const { web, images, rateLimiting, security, performance, uploads, websocket, monitoring } = settings;
    this.selector = selectorLabels(this);
    this.metrics = monitoring.metrics ? [METRICS_PORT, NGINX_EXPORTER_PORT] : [];
    const exporters = monitoring.metrics ? [nginxExporter(settings, UID, `http://127.0.0.1:${STATUS_PORT}/stub_status`)] : [];
    this.footprint = { pods: web.replicas + 1, containers: [web.resources, ...exporters.map(() => monitoring.exporter)], gpus: 0 };

    const config = new ConfigFiles(this, 'files', {
      name: 'web-files',
      files: {
        'nginx/nginx.conf': {
          worker_processes: Math.max(1, Math.floor(web.resources.limits.cpu)),
          shutdown_timeout_seconds: SHUTDOWN_SECONDS,
          config_folder: CONFIG,
          port: this.port,
          metrics_port: METRICS_PORT.number,
          status_port: STATUS_PORT,
          trusted_proxies: web.trustedProxies.map(cidr => `set_real_ip_from ${cidr};`).join('\n    '),
          rate_limit_key: rateLimiting.enabled ? '$binary_remote_addr' : '""',
          api_rate_per_minute: rateLimiting.apiPerMinute,
          api_burst: burst(rateLimiting.apiPerMinute),
          api_retry_after_seconds: Math.ceil(60 / rateLimiting.apiPerMinute),
          general_rate_per_second: rateLimiting.generalPerSecond,
          general_burst: burst(rateLimiting.generalPerSecond),
          api_connections: rateLimiting.apiPerMinute,
          connections: rateLimiting.connections,
          room_bytes: Math.floor(web.resources.ephemeralMebibytes * derive.WEB_ROOM) * 2 ** 20,
          max_body_bytes: derive.maxBodyBytes(settings),
          max_picture_mebibytes: uploads.maxMebibytes,
          security_headers: security.headers ? `include ${CONFIG}/security-headers.conf;` : '',
          websocket_timeout: `${websocket.idleDays}d`,
          backend_timeout_seconds: performance.gunicorn.timeoutSeconds,
          backend: `${backend.host}:${backend.port}`,
          realtime: `${backend.realtimeHost}:${backend.realtimePort}`,
        },
        'nginx/metrics.lua': {},
        'nginx/room.lua': {},
        'nginx/security-headers.conf': { hsts_max_age_seconds: security.hstsSeconds },
      },
    });

    this.service = new Service(this, 'service', {
      metadata: { name: this.name, annotations: { ...serviceAnnotations } },
      ports: [{ name: 'http', port: this.port, targetPort: this.port }],
    });
    for (const [key, value] of Object.entries(this.selector)) this.service.selectLabel(key, value);

    const get = (path: string): k8s.Probe => ({ httpGet: { path, port: k8s.IntOrString.fromString('http') }, timeoutSeconds: 3 });
    new k8s.KubeDeployment(this, 'deployment', {
      metadata: { name: this.name },
      spec: {
        replicas: web.replicas,
        selector: { matchLabels: { ...this.selector } },
        strategy: {
          type: 'RollingUpdate',
          rollingUpdate: { maxSurge: k8s.IntOrString.fromNumber(1), maxUnavailable: k8s.IntOrString.fromNumber(0) },
        },
        progressDeadlineSeconds: 300,
        revisionHistoryLimit: 5,
        template: {
          metadata: { labels: podLabels(this), annotations: { 'checksum/config': config.checksum } },
          spec: {
            ...restrictedPod(UID),
            ...pullSecrets(images.pullSecrets),
            ...spread(this.selector),
            terminationGracePeriodSeconds: 60,
            containers: [
              {
                name: 'nginx',
                image: ownImage(images, 'web'),
                imagePullPolicy: images.pullPolicy,
                command: ['nginx', '-c', `${CONFIG}/nginx.conf`, '-g', 'daemon off;'],
                ports: [
                  { name: 'http', containerPort: this.port },
                  ...(monitoring.metrics ? [{ name: METRICS_PORT.name, containerPort: METRICS_PORT.number }] : []),
                ],
                resources: toResources(web.resources),
                securityContext: restrictedContainer(UID),
                startupProbe: { ...get('/healthz'), periodSeconds: 1, failureThreshold: 60 },
                readinessProbe: { ...get('/'), periodSeconds: 5, failureThreshold: 2 },
                livenessProbe: { ...get('/healthz'), periodSeconds: 30, failureThreshold: 3 },
                lifecycle: { preStop: { exec: { command: ['sleep', `${DEREGISTER_SECONDS}`] } } },
                volumeMounts: [
                  { name: config.volume.name, mountPath: CONFIG, readOnly: true },
                  { name: 'cache', mountPath: '/var/cache/nginx' },
                  { name: 'tmp', mountPath: '/tmp' },
                ],
              },
              ...exporters,
            ],
            volumes: [config.volume, scratch('cache', web.resources.ephemeralMebibytes), scratch('tmp', 16)],
          },
        },
      },
    });

    new DisruptionBudget(this, 'disruption-budget', this);
  }
}
