import { k8s, Service } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import type { Backend } from './backend';
import { ConfigFiles } from './config-files';
import { ownImage } from './image';
import { type Labels, podLabels, selectorLabels, workloadLabels } from './labels';
import { restrictedContainer, restrictedPod, scratch, toResources } from './restricted';
import { type Footprint, pullSecrets, spread, type Workload } from './workload';

/** User and group of images/web. */
const UID = 101;
const CONFIG = '/etc/nginx/orfeas';
/** Seconds for the endpoints to forget a stopping pod before it closes its port. */
const DEREGISTER_SECONDS = 5;

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
  readonly port = 8080;
  readonly service: Service;

  constructor(scope: Construct, id: string, { settings, backend, serviceAnnotations }: WebProps) {
    super(scope, id);
    const { namespace, web, images, rateLimiting, security, performance, websocket } = settings;
    const identity = { name: this.name, component: 'web', version: images.version };
    const labels = { ...workloadLabels(identity) };
    this.selector = selectorLabels(namespace, this.name);
    this.footprint = { pods: web.replicas + 1, containers: [web.resources] };

    const config = new ConfigFiles(this, 'files', {
      name: 'web-files',
      labels,
      files: {
        'nginx/nginx.conf': {
          api_rate_per_minute: rateLimiting.apiPerMinute,
          api_burst: rateLimiting.apiPerMinute - 1,
          general_rate_per_second: rateLimiting.generalPerSecond,
          general_burst: rateLimiting.generalBurst,
          max_body_bytes: derive.maxBodyBytes(settings),
          trusted_proxies: web.trustedProxies.map(cidr => `set_real_ip_from ${cidr};`).join('\n    '),
          hsts_max_age_seconds: security.hstsSeconds,
          websocket_timeout: `${websocket.idleDays}d`,
          backend_timeout_seconds: performance.gunicorn.timeoutSeconds,
          backend: `${backend.host}:${backend.port}`,
          realtime: `${backend.realtimeHost}:${backend.realtimePort}`,
        },
      },
    });

    this.service = new Service(this, 'service', {
      metadata: { name: this.name, labels, annotations: { ...serviceAnnotations } },
      ports: [{ name: 'http', port: this.port, targetPort: this.port }],
    });
    for (const [key, value] of Object.entries(this.selector)) this.service.selectLabel(key, value);

    const get: k8s.Probe = { httpGet: { path: '/healthz', port: k8s.IntOrString.fromString('http') }, timeoutSeconds: 3 };
    new k8s.KubeDeployment(this, 'deployment', {
      metadata: { name: this.name, labels },
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
          metadata: { labels: { ...podLabels(namespace, identity) }, annotations: { 'checksum/config': config.checksum } },
          spec: {
            ...restrictedPod(UID, UID),
            ...pullSecrets(images.pullSecrets),
            topologySpreadConstraints: spread(this.selector),
            terminationGracePeriodSeconds: 60,
            containers: [
              {
                name: 'nginx',
                image: ownImage(images, 'web'),
                imagePullPolicy: images.pullPolicy,
                command: ['nginx', '-c', `${CONFIG}/nginx.conf`, '-g', 'daemon off;'],
                ports: [{ name: 'http', containerPort: this.port }],
                resources: toResources(web.resources),
                securityContext: restrictedContainer,
                startupProbe: { ...get, periodSeconds: 1, failureThreshold: 60 },
                readinessProbe: { ...get, periodSeconds: 5, failureThreshold: 2 },
                livenessProbe: { ...get, periodSeconds: 30, failureThreshold: 3 },
                lifecycle: { preStop: { exec: { command: ['sleep', `${DEREGISTER_SECONDS}`] } } },
                volumeMounts: [
                  { name: config.volume.name, mountPath: CONFIG, readOnly: true },
                  { name: 'cache', mountPath: '/var/cache/nginx' },
                  { name: 'tmp', mountPath: '/tmp' },
                ],
              },
            ],
            volumes: [config.volume, scratch('cache', web.resources.ephemeralMebibytes), scratch('tmp', 16)],
          },
        },
      },
    });

    new k8s.KubePodDisruptionBudget(this, 'disruption-budget', {
      metadata: { name: this.name, labels },
      spec: { maxUnavailable: k8s.IntOrString.fromNumber(1), selector: { matchLabels: { ...this.selector } } },
    });
  }
}
