import type { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { ContainerResources, Settings } from '../config/schema';
import { secretsInBackup } from '../config/secrets';
import { Account } from './account';
import { BACKUP_USER, BackupCronJob, backupContainer, claimMount, scratchMount, TMP_MEBIBYTES, variables } from './backup-cron-job';
import { repositoryAccess } from './backup-repository';
import type { Claim } from './claim';
import { type Labels, selectorLabels } from './labels';
import { besideHolders, type Holding, whereVolumesAre } from './placement';
import { Prometheus } from './prometheus';
import type { Redis } from './redis';
import { scratch } from './restricted';
import type { Footprint, MetricsPort, Workload } from './workload';

/** Kinds of the objects that a backup takes, by their API group. */
const KINDS = {
  '': ['configmaps', 'services', 'persistentvolumeclaims', 'resourcequotas', 'limitranges', 'serviceaccounts'],
  apps: ['deployments', 'statefulsets'],
  batch: ['cronjobs'],
  'networking.k8s.io': ['ingresses', 'networkpolicies'],
  policy: ['poddisruptionbudgets'],
  'rbac.authorization.k8s.io': ['roles', 'rolebindings'],
} as const;

/** The clones go with the Job: long enough for the command to read how it ended. */
const CLONES_KEPT_SECONDS = 120;

/** Asks Prometheus for a snapshot, and removes it afterwards. */
const SNAPSHOT_RESOURCES: ContainerResources = {
  requests: { cpu: 0.01, memoryMebibytes: 32 },
  limits: { cpu: 0.2, memoryMebibytes: 128 },
  ephemeralMebibytes: 64,
};

export interface BackupProps {
  readonly settings: Settings;
  readonly redis: Redis;
  /** The backend's claims that go into the backup. */
  readonly backend: Holding;
  /** Those of Prometheus and Grafana, where they do. */
  readonly monitoring: { readonly prometheus: Holding; readonly grafana: Holding } | undefined;
  /** The claim backups, where that is the repository. */
  readonly repository: Claim | undefined;
}

/** What a container needs to tell Redis how it went, and to dump it. */
export const redisEnvironment = ({ redis: { database } }: Settings, redis: Redis): k8s.EnvVar[] =>
  variables({ REDIS_HOST: redis.host, REDIS_PORT: redis.port, REDIS_DB: database, REDIS_PASSWORD_FILE: redis.passwordFile });

/** The daily backup. It can change nothing that it reads, but for the snapshot that Prometheus makes in its own data. */
export class Backup extends Construct implements Workload {
  readonly name = 'backup';
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[] = [];
  /** Claims that its pod clones. */
  readonly cloned: readonly Claim[];

  constructor(scope: Construct, id: string, { settings, redis, backend, monitoring, repository }: BackupProps) {
    super(scope, id);
    const { backup, namespace } = settings;
    const scratchMebibytes = derive.backupScratchMebibytes(settings);
    const resources = { ...backup.resources, ephemeralMebibytes: scratchMebibytes + TMP_MEBIBYTES };
    this.selector = selectorLabels(this);
    const clones = backup.readFrom === 'clones';
    const snapshot = clones ? undefined : monitoring?.prometheus;
    this.footprint = { pods: 1, containers: [resources, ...(snapshot ? [SNAPSHOT_RESOURCES] : [])], gpus: 0 };

    const account = new Account(this, 'account', {
      name: this.name,
      namespace,
      rules: [
        ...Object.entries(KINDS).map(([group, resources]) => ({ apiGroups: [group], resources: [...resources], verbs: ['get', 'list'] })),
        ...(backup.secrets ? [{ apiGroups: [''], resources: ['secrets'], resourceNames: secretsInBackup(settings), verbs: ['get'] }] : []),
      ],
    });

    const parts = [
      'outputs',
      'logs',
      ...(backup.models ? ['models'] : []),
      ...(monitoring ? ['monitoring'] : []),
      'redis',
      'configuration',
    ];
    const access = repositoryAccess(settings, repository?.volume);
    const holdings = [backend, ...(monitoring ? [monitoring.prometheus, monitoring.grafana] : [])];
    const claims = holdings.flatMap(holding => holding.claims);
    this.cloned = clones ? claims : [];
    const snapshots = snapshot?.claims ?? [];
    const archive = backupContainer(settings, {
      name: 'archive',
      args: ['backup'],
      resources,
      environment: [
        ...access.environment,
        ...redisEnvironment(settings, redis),
        ...variables({
          BACKUP_PARTS: parts.join(','),
          BACKUP_RETENTION_DAYS: backup.retentionDays,
          ...(backup.secrets && { BACKUP_SECRETS: secretsInBackup(settings).join(',') }),
          ...(clones && { BACKUP_READ_FROM: backup.readFrom }),
        }),
      ],
      mounts: [
        ...claims.map(({ name }) => ({ ...claimMount(name), readOnly: true })),
        ...access.mounts,
        redis.password.mount,
        account.mount,
        scratchMount,
      ],
    });
    const sidecars = snapshot
      ? [
          {
            ...backupContainer(settings, {
              name: 'metrics-snapshot',
              args: ['metrics-snapshot'],
              uid: snapshot.holder.uid,
              resources: SNAPSHOT_RESOURCES,
              environment: variables({ PROMETHEUS_URL: Prometheus.url }),
              mounts: [...snapshots.map(({ name }) => claimMount(name)), scratchMount],
            }),
            restartPolicy: 'Always',
            // The archive is made once there is a snapshot, or a reason why there is none.
            startupProbe: {
              exec: { command: ['test', '-e', `${scratchMount.mountPath}/metrics-snapshot`] },
              periodSeconds: 1,
              failureThreshold: 600,
            },
          },
        ]
      : [];

    new BackupCronJob(this, 'cron-job', {
      settings,
      name: this.name,
      schedule: backup.schedule,
      deadlineHours: 12,
      backoffLimit: 2,
      ...(clones && { keptSeconds: CLONES_KEPT_SECONDS }),
      // Files of clones come to be of this group, some of them for good once restored: it has no processes but the backup's.
      groups: { fsGroup: BACKUP_USER, supplementalGroups: holdings.map(({ holder }) => holder.uid) },
      pod: {
        ...(clones ? whereVolumesAre(settings, repository ? [repository] : []) : besideHolders(settings, holdings)),
        // Another pod would need other clones, while those of the first are still there.
        ...(clones && { restartPolicy: 'OnFailure' }),
        serviceAccountName: account.name,
        ...(sidecars.length > 0 && { initContainers: sidecars }),
        containers: [archive],
        volumes: [
          ...claims.map(claim => (clones ? claim.cloneVolume : snapshots.includes(claim) ? claim.volume : claim.readOnlyVolume)),
          ...access.volumes,
          redis.password.volume,
          account.volume,
          scratch(scratchMount.name, scratchMebibytes),
        ],
      },
    });
  }
}
