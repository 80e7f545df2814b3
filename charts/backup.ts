import type { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { ClaimSettings, Settings } from '../config/schema';
import type { Backend } from '../constructs/backend';
import { Backup } from '../constructs/backup';
import { repositoryFlows } from '../constructs/backup-repository';
import { BackupVerify } from '../constructs/backup-verify';
import type { Claim } from '../constructs/claim';
import type { Grafana } from '../constructs/grafana';
import type { Identity } from '../constructs/labels';
import type { Flow } from '../constructs/network-policies';
import type { Prometheus } from '../constructs/prometheus';
import type { Redis } from '../constructs/redis';
import { RepositoryTool, type RepositoryToolProps } from '../constructs/repository-tool';
import { Restore } from '../constructs/restore';
import { StudioChart } from '../constructs/studio-chart';
import type { Workload } from '../constructs/workload';
import type { StorageChart } from './storage';

export interface BackupChartProps {
  readonly settings: Settings;
  readonly storage: StorageChart;
  readonly redis: Redis;
  readonly backend: Backend;
  /** Where the studio has its own. */
  readonly monitoring?: { readonly prometheus: Prometheus; readonly grafana: Grafana };
}

/** Backups each day, their verification each week, and what the command restores them with. */
export class BackupChart extends StudioChart {
  readonly workloads: readonly Workload[];
  /** Claims that its pods make for the time of a run. */
  readonly claims: readonly ClaimSettings[];
  readonly flows: readonly Flow[];

  constructor(scope: Construct, id: string, { settings, storage, redis, backend, monitoring }: BackupChartProps) {
    const { namespace, images, backup } = settings;
    const identity = (name: string): Identity => ({ name, component: 'backup', version: images.version });
    super(scope, id, { namespace, identity: identity('backup') });

    const { outputs, huggingfaceCache, hy3dgenCache, redisData, backups: repository } = storage;
    const models = [huggingfaceCache, hy3dgenCache];
    const bundled = monitoring &&
      storage.monitoring && {
        prometheus: { holder: monitoring.prometheus, claims: [storage.monitoring.prometheusData] },
        grafana: { holder: monitoring.grafana, claims: [storage.monitoring.grafanaData] },
      };
    const backedUp = derive.backsUpMonitoring(settings) ? bundled : undefined;

    const daily = new Backup(this, 'backup', {
      settings,
      redis,
      backend: { holder: backend, claims: [outputs, ...(backup.models ? models : [])] },
      monitoring: backedUp,
      repository,
    });
    const roomFor = (claims: readonly Claim[]): ClaimSettings => ({
      ...outputs.settings,
      gibibytes: claims.reduce((total, { settings }) => total + settings.gibibytes, 0),
    });
    const target = roomFor([outputs, redisData, ...Object.values(backedUp ?? {}).flatMap(({ claims }) => claims)]);
    const unpacked = roomFor([outputs, ...models, redisData, ...Object.values(bundled ?? {}).flatMap(({ claims }) => claims)]);
    const verify = this.as(
      identity('backup-verify'),
      () => new BackupVerify(this, 'verify', { settings, redis, outputs: { holder: backend, claims: [outputs] }, repository, target }),
    );
    const tool = (name: string, props: Pick<RepositoryToolProps, 'args' | 'room'>): RepositoryTool =>
      this.as(identity(name), () => new RepositoryTool(this, name, { settings, name, repository, ...props }));
    // A zip is unpacked before it is taken in.
    const tools = [tool('backup-repository', { args: ['list'] }), tool('backup-import', { args: ['serve'], room: unpacked })];
    const restore = this.as(
      identity('restore'),
      () =>
        new Restore(this, 'restore', {
          settings,
          holdings: [
            { holder: backend, claims: [outputs, ...models] },
            ...Object.values(bundled ?? {}),
            { holder: redis, claims: [redisData] },
          ],
          repository,
        }),
    );

    this.workloads = [daily, verify, ...tools, restore];
    this.claims = [target, unpacked, ...daily.cloned.map(claim => claim.settings)];
    this.flows = [
      ...[daily, verify].flatMap((from): Flow[] => [
        { from, to: 'dns', why: 'Addresses' },
        { from, to: redis, ports: [redis.port], why: from === daily ? 'A dump of the queue, and the result' : 'The result' },
        ...repositoryFlows(settings, from),
      ]),
      { from: daily, to: 'api-server', why: 'Objects of the namespace, for the configuration' },
      ...(bundled && derive.readsMonitoringVolumes(settings)
        ? [{ from: daily, to: bundled.prometheus.holder, ports: [bundled.prometheus.holder.port], why: 'A snapshot of the samples' }]
        : []),
      ...[...tools, restore].flatMap((from): Flow[] => {
        const remote = repositoryFlows(settings, from);
        return remote.length > 0 ? [{ from, to: 'dns', why: 'Addresses' }, ...remote] : [];
      }),
    ];
  }
}
