import type { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { ContainerResources, Settings } from '../config/schema';
import { BACKUP_USER, BackupCronJob, backupContainer, claimMount, scratchMount, TMP_MEBIBYTES, variables } from './backup-cron-job';
import { repositoryAccess } from './backup-repository';
import type { Claim } from './claim';
import { type Labels, selectorLabels } from './labels';
import { type Holding, whereVolumesAre } from './placement';
import { scratch } from './restricted';
import { POD_READABLE } from './secret-folder';
import type { Footprint, MetricsPort, Workload } from './workload';

/** Renames, and nothing else. */
const COMMIT_RESOURCES: ContainerResources = {
  requests: { cpu: 0.01, memoryMebibytes: 32 },
  limits: { cpu: 0.5, memoryMebibytes: 128 },
  ephemeralMebibytes: 64,
};

export interface RestoreProps {
  readonly settings: Settings;
  /** What it writes to, while nobody else does. */
  readonly holdings: readonly Holding[];
  /** The claim backups, where that is the repository. */
  readonly repository: Claim | undefined;
}

/**
 * What `orfeas restore` makes a Job of. Each owner of data has two containers that run as its user: one that puts the content of
 * a backup beside the data, and, once that is done for all owners, one that exchanges the two.
 */
export class Restore extends Construct implements Workload {
  readonly name = 'restore';
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[] = [];

  constructor(scope: Construct, id: string, { settings, holdings, repository }: RestoreProps) {
    super(scope, id);
    const resources = { ...settings.backup.resources, ephemeralMebibytes: derive.BACKUP_CACHE_MEBIBYTES + TMP_MEBIBYTES };
    this.selector = selectorLabels(this);
    this.footprint = { pods: 1, containers: [resources, ...holdings.map(() => COMMIT_RESOURCES)], gpus: 0 };

    const access = repositoryAccess(settings, repository?.readOnlyVolume, POD_READABLE);
    const claims = holdings.flatMap(holding => holding.claims);
    const mounts = ({ claims }: Holding): k8s.VolumeMount[] => claims.map(({ name }) => claimMount(name));
    const stage = (holding: Holding): k8s.Container =>
      backupContainer(settings, {
        name: `stage-${holding.holder.name}`,
        args: ['stage'],
        uid: holding.holder.uid,
        resources,
        environment: [...access.environment, ...variables({ REDIS_DB: settings.redis.database })],
        // Of each owner its own folder: none can read what another has left there.
        mounts: [...mounts(holding), ...access.mounts, { ...scratchMount, subPath: holding.holder.name }],
      });
    const commit = (holding: Holding): k8s.Container =>
      backupContainer(settings, {
        name: `commit-${holding.holder.name}`,
        args: ['commit'],
        uid: holding.holder.uid,
        resources: COMMIT_RESOURCES,
        environment: [],
        mounts: mounts(holding),
      });
    new BackupCronJob(this, 'cron-job', {
      settings,
      name: this.name,
      backoffLimit: 6,
      // No fsGroup: each volume stays its owner's. The repository is read by its group.
      groups: { supplementalGroups: repository ? [BACKUP_USER] : [] },
      pod: {
        ...whereVolumesAre(settings, [...claims, ...(repository ? [repository] : [])]),
        restartPolicy: 'OnFailure',
        initContainers: holdings.map(stage),
        containers: holdings.map(commit),
        volumes: [...claims.map(({ volume }) => volume), ...access.volumes, scratch(scratchMount.name, derive.BACKUP_CACHE_MEBIBYTES)],
      },
    });
  }
}
