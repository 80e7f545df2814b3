import { k8s, Service } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import { upstreamImage } from '../config/images';
import type { ContainerResources, Settings } from '../config/schema';
import { secrets } from '../config/secrets';
import type { Claim } from './claim';
import { ConfigFiles } from './config-files';
import { DisruptionBudget } from './disruption-budget';
import { REDIS_EXPORTER_PORT, redisExporter, VOLUME_EXPORTER_PORT, volumeExporter } from './exporter';
import { type Labels, podLabels, selectorLabels } from './labels';
import { restrictedContainer, restrictedPod, scratch, toResources } from './restricted';
import { secretFolder } from './secret-folder';
import { type Footprint, type MetricsPort, pullSecrets, type Workload } from './workload';

/** Above the ids of the node's own users. The image runs as any user that owns its data. */
const UID = 10003;
const CONFIG = '/etc/redis';
const RUN = '/run/redis';
const PASSWORD_FOLDER = '/etc/orfeas-redis';

/** Writes two files and ends. */
const USERS_RESOURCES: ContainerResources = {
  requests: { cpu: 0.01, memoryMebibytes: 16 },
  limits: { cpu: 0.2, memoryMebibytes: 32 },
  ephemeralMebibytes: 16,
};

export interface RedisProps {
  readonly settings: Settings;
  readonly data: Claim;
}

/** The job queue: one Redis that logs each write before it answers, and never evicts a job. */
export class Redis extends Construct implements Workload {
  readonly name = 'redis';
  readonly uid = UID;
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[];
  /** Name of the Service that clients use. */
  readonly host = 'redis';
  readonly port = 6379;
  /** The password as a file of clients. */
  readonly password = secretFolder({
    secret: secrets.redis.name,
    items: { [secrets.redis.key]: secrets.redis.key },
    mountPath: PASSWORD_FOLDER,
  });
  readonly passwordFile = `${PASSWORD_FOLDER}/${secrets.redis.key}`;

  constructor(scope: Construct, id: string, { settings, data }: RedisProps) {
    super(scope, id);
    const { redis, images, monitoring } = settings;
    this.selector = selectorLabels(this);
    const run: k8s.VolumeMount = { name: 'run', mountPath: RUN };
    this.metrics = monitoring.metrics ? [REDIS_EXPORTER_PORT, VOLUME_EXPORTER_PORT] : [];
    const exporters = monitoring.metrics ? [redisExporter(settings, UID, run), volumeExporter(settings, UID, data)] : [];
    this.footprint = { pods: 1, containers: [redis.resources, ...exporters.map(() => monitoring.exporter)], gpus: 0 };

    const config = new ConfigFiles(this, 'files', {
      name: 'redis-files',
      files: {
        'redis/redis.conf': { maxmemory: `${redis.maxMemoryMebibytes}mb`, maxmemory_policy: redis.evictionPolicy },
        'redis/users.sh': {},
        'redis/probe.sh': {},
      },
    });

    const port = { name: 'redis', port: this.port };
    const service = new Service(this, 'service', { metadata: { name: this.host }, ports: [{ ...port, targetPort: this.port }] });
    for (const [key, value] of Object.entries(this.selector)) service.selectLabel(key, value);
    const headless = new k8s.KubeService(this, 'headless', {
      metadata: { name: 'redis-headless' },
      spec: { clusterIp: 'None', selector: { ...this.selector }, ports: [port], publishNotReadyAddresses: true },
    });

    // The next and the previous password, which are valid as well, are there during a rotation only.
    const passwords = secretFolder({ secret: secrets.redis.name, mountPath: PASSWORD_FOLDER });
    const mounts: k8s.VolumeMount[] = [{ name: config.volume.name, mountPath: CONFIG, readOnly: true }, passwords.mount, run];
    const probe = (meaning: string): k8s.Probe => ({ exec: { command: ['sh', `${CONFIG}/probe.sh`, meaning] }, timeoutSeconds: 5 });
    new k8s.KubeStatefulSet(this, 'stateful-set', {
      metadata: { name: this.name },
      spec: {
        serviceName: headless.name,
        replicas: 1,
        selector: { matchLabels: { ...this.selector } },
        template: {
          metadata: { labels: podLabels(this), annotations: { 'checksum/config': config.checksum } },
          spec: {
            ...restrictedPod(UID),
            ...pullSecrets(images.pullSecrets),
            terminationGracePeriodSeconds: 60,
            initContainers: [
              {
                name: 'users',
                image: upstreamImage(images, 'redis'),
                imagePullPolicy: images.pullPolicy,
                command: ['sh', `${CONFIG}/users.sh`],
                resources: toResources(USERS_RESOURCES),
                securityContext: restrictedContainer(UID),
                volumeMounts: mounts,
              },
            ],
            containers: [
              {
                name: 'redis',
                image: upstreamImage(images, 'redis'),
                imagePullPolicy: images.pullPolicy,
                command: ['redis-server', `${CONFIG}/redis.conf`],
                ports: [{ name: 'redis', containerPort: this.port }],
                resources: toResources(redis.resources),
                securityContext: restrictedContainer(UID),
                startupProbe: { ...probe('ready'), periodSeconds: 2, failureThreshold: 150 },
                readinessProbe: { ...probe('ready'), periodSeconds: 5, failureThreshold: 2 },
                livenessProbe: { ...probe('alive'), periodSeconds: 30, failureThreshold: 3 },
                volumeMounts: [{ name: data.volume.name, mountPath: '/data' }, ...mounts],
              },
              ...exporters,
            ],
            volumes: [data.volume, config.volume, passwords.volume, scratch(run.name, 1, 'Memory')],
          },
        },
      },
    });

    new DisruptionBudget(this, 'disruption-budget', this);
  }
}
