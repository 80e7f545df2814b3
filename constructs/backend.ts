import { ConfigMap, k8s, Service } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import { ownImage } from '../config/images';
import type { ContainerResources, Settings } from '../config/schema';
import { secrets, TLS_SECRET } from '../config/secrets';
import { backendEnvironment, paths } from './backend-environment';
import type { Claim } from './claim';
import { ConfigFiles, checksum } from './config-files';
import { DisruptionBudget } from './disruption-budget';
import { type Labels, podLabels, selectorLabels } from './labels';
import type { Redis } from './redis';
import { restrictedContainer, restrictedPod, scratch, toResources } from './restricted';
import { GROUP_READABLE, secretFolder } from './secret-folder';
import { type Footprint, type MetricsPort, pullSecrets, spread, type Workload } from './workload';

/** User and group `orfeas` of images/backend. */
const UID = 10001;
const CONFIG = '/etc/orfeas';
/** Seconds for the endpoints to forget a stopping pod before it closes its ports. */
const DEREGISTER_SECONDS = 5;
/** Those that people speak with stay until the worker has finished its jobs. */
const OUTLAST = ['python', '-m', 'orfeas.outlast', `${DEREGISTER_SECONDS}`];

export interface BackendProps {
  readonly settings: Settings;
  readonly redis: Redis;
  readonly outputs: Claim;
  readonly huggingfaceCache: Claim;
  readonly hy3dgenCache: Claim;
}

interface Process {
  readonly name: 'api' | 'worker' | 'realtime';
  /** What the image's entry point runs. */
  readonly args: readonly string[];
  readonly port: k8s.ContainerPort;
  readonly resources: ContainerResources;
  /** Time to come up, in seconds. */
  readonly startupSeconds: number;
  readonly startupPath: '/health' | '/ready';
  /** What it does before it stops. */
  readonly beforeStop: readonly string[];
  readonly extended?: Readonly<Record<string, number>>;
  readonly mounts: readonly k8s.VolumeMount[];
}

/**
 * The studio's backend: Gunicorn (`api`), the process that alone has the GPU (`worker`) and the Socket.IO server
 * (`realtime`), from one image and in one pod.
 */
export class Backend extends Construct implements Workload {
  readonly name = 'backend';
  readonly uid = UID;
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[];
  readonly host = 'backend';
  readonly port = 5000;
  /** Service whose connections stay with one pod, as Socket.IO's long polling needs. */
  readonly realtimeHost = 'backend-realtime';
  readonly realtimePort = 5001;

  constructor(scope: Construct, id: string, { settings, redis, outputs, huggingfaceCache, hy3dgenCache }: BackendProps) {
    super(scope, id);
    const { backend, gpu, images, monitoring } = settings;
    const rolling = derive.rolloutStrategy(settings) === 'RollingUpdate';
    this.selector = selectorLabels(this);
    this.footprint = {
      pods: backend.replicas + (rolling ? 1 : 0),
      containers: [backend.api, backend.worker, backend.realtime],
      gpus: gpu.perPod,
    };

    this.metrics = monitoring.metrics ? [{ name: 'http', number: this.port }] : [];

    const environment = new ConfigMap(this, 'environment', {
      metadata: { name: 'backend-env' },
      data: backendEnvironment(settings, redis),
    });
    const config = new ConfigFiles(this, 'files', { name: 'backend-files', files: { 'gunicorn.conf.py': {} } });

    const service = new Service(this, 'service', {
      metadata: { name: this.host },
      ports: [{ name: 'http', port: this.port, targetPort: this.port }],
    });
    for (const [key, value] of Object.entries(this.selector)) service.selectLabel(key, value);
    new k8s.KubeService(this, 'realtime-service', {
      metadata: { name: this.realtimeHost },
      spec: {
        selector: { ...this.selector },
        sessionAffinity: 'ClientIP',
        ports: [{ name: 'realtime', port: this.realtimePort, appProtocol: 'kubernetes.io/ws' }],
      },
    });

    const outputFolders: k8s.VolumeMount[] = [
      { name: outputs.volume.name, mountPath: paths.outputs, subPath: 'outputs' },
      { name: outputs.volume.name, mountPath: paths.uploads, subPath: 'uploads' },
    ];
    const { apiKeysSecret } = settings.security;
    const apiKeys = apiKeysSecret === undefined ? undefined : secretFolder({ secret: apiKeysSecret, mountPath: paths.apiKeys });
    const app = secretFolder({ secret: secrets.app.name, mountPath: paths.app });
    const processes: readonly Process[] = [
      {
        name: 'api',
        args: ['gunicorn', '--config', `${CONFIG}/gunicorn.conf.py`, 'orfeas.api:app'],
        port: { name: 'http', containerPort: this.port },
        resources: backend.api,
        startupSeconds: 120,
        startupPath: '/health',
        beforeStop: OUTLAST,
        mounts: [
          ...outputFolders,
          { name: config.volume.name, mountPath: CONFIG, readOnly: true },
          app.mount,
          ...(apiKeys ? [apiKeys.mount] : []),
        ],
      },
      {
        name: 'worker',
        args: ['python', '-m', 'orfeas.worker'],
        port: { name: 'worker', containerPort: 5002 },
        resources: backend.worker,
        startupSeconds: derive.startupSeconds(settings),
        startupPath: '/ready',
        beforeStop: ['sleep', `${DEREGISTER_SECONDS}`],
        extended: gpu.perPod > 0 ? { [gpu.resourceName]: gpu.perPod } : {},
        mounts: [
          ...outputFolders,
          { name: huggingfaceCache.volume.name, mountPath: paths.huggingfaceCache },
          { name: hy3dgenCache.volume.name, mountPath: paths.hy3dgenCache },
          { name: 'certificate', mountPath: paths.certificate, readOnly: true },
        ],
      },
      {
        name: 'realtime',
        args: ['python', '-m', 'orfeas.realtime'],
        port: { name: 'realtime', containerPort: this.realtimePort },
        resources: backend.realtime,
        startupSeconds: 60,
        startupPath: '/health',
        beforeStop: OUTLAST,
        mounts: [],
      },
    ];

    const container = ({
      name,
      args,
      port,
      resources,
      startupSeconds,
      startupPath,
      beforeStop,
      extended,
      mounts,
    }: Process): k8s.Container => {
      const get = (path: string): k8s.Probe => ({
        httpGet: { path, port: k8s.IntOrString.fromString(port.name as string) },
        timeoutSeconds: 5,
      });
      const startupPeriodSeconds = 2;
      return {
        name,
        image: ownImage(images, 'backend'),
        imagePullPolicy: images.pullPolicy,
        args: [...args],
        envFrom: [{ configMapRef: { name: environment.name } }],
        env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        ports: [port],
        resources: toResources(resources, extended),
        securityContext: restrictedContainer(UID),
        startupProbe: {
          ...get(startupPath),
          periodSeconds: startupPeriodSeconds,
          failureThreshold: Math.ceil(startupSeconds / startupPeriodSeconds),
        },
        readinessProbe: { ...get('/ready'), periodSeconds: 5, failureThreshold: 2 },
        livenessProbe: { ...get('/health'), periodSeconds: 30, timeoutSeconds: 10, failureThreshold: 3 },
        lifecycle: { preStop: { exec: { command: [...beforeStop] } } },
        volumeMounts: [
          ...mounts,
          redis.password.mount,
          { name: 'run', mountPath: paths.run },
          { name: 'shared-memory', mountPath: '/dev/shm' },
          // Each pod has a folder of its own there, which outlives it and is backed up.
          { name: outputs.volume.name, mountPath: paths.logs, subPath: 'logs' },
          { name: 'tmp', mountPath: '/tmp' },
        ],
      };
    };

    new k8s.KubeDeployment(this, 'deployment', {
      metadata: { name: this.name },
      spec: {
        replicas: backend.replicas,
        selector: { matchLabels: { ...this.selector } },
        strategy: rolling
          ? {
              type: 'RollingUpdate',
              rollingUpdate: { maxSurge: k8s.IntOrString.fromNumber(1), maxUnavailable: k8s.IntOrString.fromNumber(0) },
            }
          : { type: 'Recreate' },
        progressDeadlineSeconds: derive.progressDeadlineSeconds(settings),
        revisionHistoryLimit: 5,
        template: {
          metadata: {
            labels: podLabels(this),
            // What tells the backend of its backup changes nothing that it does.
            annotations: {
              'checksum/config': checksum([
                Object.entries(environment.data).filter(([name]) => !name.startsWith('BACKUP_')),
                config.checksum,
              ]),
            },
          },
          spec: {
            ...restrictedPod(UID),
            ...pullSecrets(images.pullSecrets),
            ...(gpu.runtimeClass && { runtimeClassName: gpu.runtimeClass }),
            nodeSelector: gpu.nodeSelector,
            tolerations: gpu.tolerations as k8s.Toleration[],
            ...spread(this.selector),
            terminationGracePeriodSeconds: derive.terminationSeconds(settings),
            containers: processes.map(container),
            volumes: [
              outputs.volume,
              huggingfaceCache.volume,
              hy3dgenCache.volume,
              config.volume,
              app.volume,
              redis.password.volume,
              // For its expiry alone: the key stays out, and the backend runs before there is a certificate.
              {
                name: 'certificate',
                secret: {
                  secretName: TLS_SECRET,
                  optional: true,
                  defaultMode: GROUP_READABLE,
                  items: [{ key: 'tls.crt', path: 'tls.crt' }],
                },
              },
              ...(apiKeys ? [apiKeys.volume] : []),
              scratch('run', 64, 'Memory'),
              scratch('shared-memory', backend.sharedMemoryMebibytes, 'Memory'),
              scratch('tmp', backend.api.ephemeralMebibytes),
            ],
          },
        },
      },
    });

    new DisruptionBudget(this, 'disruption-budget', this);
  }
}
