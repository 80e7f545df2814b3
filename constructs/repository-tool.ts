import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { ClaimSettings, Settings } from '../config/schema';
import { BACKUP_USER, BackupCronJob, backupContainer, scratchClaim, scratchMount, TMP_MEBIBYTES } from './backup-cron-job';
import { repositoryAccess } from './backup-repository';
import type { Claim } from './claim';
import { type Labels, selectorLabels } from './labels';
import { whereVolumesAre } from './placement';
import { scratch } from './restricted';
import type { Footprint, MetricsPort, Workload } from './workload';

export interface RepositoryToolProps {
  readonly settings: Settings;
  readonly name: string;
  /** What it does unless the command says otherwise. */
  readonly args: readonly string[];
  /** The claim backups, where that is the repository. */
  readonly repository: Claim | undefined;
  /** A volume for the time of a run, where it needs more than restic's cache. */
  readonly room?: ClaimSettings;
}

/** What `orfeas` makes Jobs of that reach the repository, and nothing else. */
export class RepositoryTool extends Construct implements Workload {
  readonly name: string;
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[] = [];

  constructor(scope: Construct, id: string, { settings, name, args, repository, room }: RepositoryToolProps) {
    super(scope, id);
    const cacheMebibytes = room ? 0 : derive.BACKUP_CACHE_MEBIBYTES;
    const resources = { ...settings.backup.resources, ephemeralMebibytes: cacheMebibytes + TMP_MEBIBYTES };
    this.name = name;
    this.selector = selectorLabels(this);
    this.footprint = { pods: 1, containers: [resources], gpus: 0 };

    const access = repositoryAccess(settings, repository?.volume);
    new BackupCronJob(this, 'cron-job', {
      settings,
      name,
      deadlineHours: 12,
      backoffLimit: 0,
      groups: { fsGroup: BACKUP_USER },
      pod: {
        ...whereVolumesAre(settings, repository ? [repository] : []),
        containers: [
          backupContainer(settings, {
            name: 'repository',
            args,
            resources,
            environment: access.environment,
            mounts: [...access.mounts, scratchMount],
          }),
        ],
        volumes: [...access.volumes, room ? scratchClaim(room) : scratch(scratchMount.name, cacheMebibytes)],
      },
    });
  }
}
