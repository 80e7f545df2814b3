import { k8s, Service } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import { upstreamImages } from '../config/images';
import type { Settings } from '../config/schema';
import type { Claim } from './claim';
import { ConfigFiles } from './config-files';
import { upstreamImage } from './image';
import { type Labels, podLabels, selectorLabels, workloadLabels } from './labels';
import { restrictedContainer, restrictedPod, scratch, toResources } from './restricted';
import { type Footprint, pullSecrets, type Workload } from './workload';

/** User and group `redis` of the image. */
const UID = 999;
const GID = 1000;
const CONFIG = '/etc/redis';

export interface RedisProps {
  readonly settings: Settings;
  readonly data: Claim;
}

/** The job queue: one Redis that logs each write before it answers, and never evicts a job. */
export class Redis extends Construct implements Workload {
  readonly name = 'redis';
  readonly selector: Labels;
  readonly footprint: Footprint;
  /** Name of the Service that clients use. */
  readonly host = 'redis';
  readonly port = 6379;
  /** Where clients find the password. */
  readonly password: k8s.SecretKeySelector = { name: 'orfeas-redis', key: 'password' };

  constructor(scope: Construct, id: string, { settings, data }: RedisProps) {
    super(scope, id);
    const { namespace, redis, images } = settings;
    const identity = { name: this.name, component: 'queue', version: upstreamImages.redis.tag };
    const labels = { ...workloadLabels(identity) };
    this.selector = selectorLabels(namespace, this.name);
    this.footprint = { pods: 1, containers: [redis.resources] };

    const config = new ConfigFiles(this, 'files', {
      name: 'redis-files',
      labels,
      files: {
        'redis/redis.conf': { maxmemory: `${redis.maxMemoryMebibytes}mb`, maxmemory_policy: redis.evictionPolicy },
        'redis/start.sh': {},
        'redis/probe.sh': {},
      },
    });

    const port = { name: 'redis', port: this.port };
    const service = new Service(this, 'service', { metadata: { name: this.host, labels }, ports: [{ ...port, targetPort: this.port }] });
    for (const [key, value] of Object.entries(this.selector)) service.selectLabel(key, value);
    const headless = new k8s.KubeService(this, 'headless', {
      metadata: { name: 'redis-headless', labels },
      spec: { clusterIp: 'None', selector: { ...this.selector }, ports: [port], publishNotReadyAddresses: true },
    });

    const probe = (meaning: string): k8s.Probe => ({ exec: { command: ['sh', `${CONFIG}/probe.sh`, meaning] }, timeoutSeconds: 5 });
    new k8s.KubeStatefulSet(this, 'stateful-set', {
      metadata: { name: this.name, labels },
      spec: {
        serviceName: headless.name,
        replicas: 1,
        selector: { matchLabels: { ...this.selector } },
        template: {
          metadata: { labels: { ...podLabels(namespace, identity) }, annotations: { 'checksum/config': config.checksum } },
          spec: {
            ...restrictedPod(UID, GID),
            ...pullSecrets(images.pullSecrets),
            terminationGracePeriodSeconds: 60,
            containers: [
              {
                name: 'redis',
                image: upstreamImage(images, 'redis'),
                imagePullPolicy: images.pullPolicy,
                command: ['sh', `${CONFIG}/start.sh`],
                env: [{ name: 'REDIS_PASSWORD', valueFrom: { secretKeyRef: this.password } }],
                ports: [{ name: 'redis', containerPort: this.port }],
                resources: toResources(redis.resources),
                securityContext: restrictedContainer,
                startupProbe: { ...probe('started'), periodSeconds: 2, failureThreshold: 150 },
                readinessProbe: { ...probe('ready'), periodSeconds: 5, failureThreshold: 2 },
                livenessProbe: { ...probe('alive'), periodSeconds: 30, failureThreshold: 3 },
                volumeMounts: [
                  { name: data.volume.name, mountPath: '/data' },
                  { name: config.volume.name, mountPath: CONFIG, readOnly: true },
                  { name: 'run', mountPath: '/run/redis' },
                ],
              },
            ],
            volumes: [data.volume, config.volume, scratch('run', 1, 'Memory')],
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
