import type { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { Claim } from '../constructs/claim';
import { StudioChart } from '../constructs/studio-chart';

export interface StorageChartProps {
  readonly settings: Settings;
}

export interface MonitoringClaims {
  readonly prometheusData: Claim;
  readonly grafanaData: Claim;
  /** Of an Alertmanager of its own. */
  readonly alertmanagerData?: Claim;
}

/** The volumes, apart from what uses them, so that no change there can remove one. */
export class StorageChart extends StudioChart {
  readonly huggingfaceCache: Claim;
  readonly hy3dgenCache: Claim;
  readonly outputs: Claim;
  readonly redisData: Claim;
  /** Where backups are kept in the cluster. */
  readonly backups?: Claim;
  /** Where the studio has its own. */
  readonly monitoring?: MonitoringClaims;

  constructor(scope: Construct, id: string, { settings }: StorageChartProps) {
    const { namespace, images, storage, backup } = settings;
    super(scope, id, { namespace, identity: { name: 'orfeas', component: 'storage', version: images.version } });
    this.huggingfaceCache = new Claim(this, 'huggingface-cache', { name: 'huggingface-cache', settings: storage.huggingfaceCache });
    this.hy3dgenCache = new Claim(this, 'hy3dgen-cache', { name: 'hy3dgen-cache', settings: storage.hy3dgenCache });
    this.outputs = new Claim(this, 'outputs', { name: 'outputs', settings: storage.outputs });
    this.redisData = new Claim(this, 'redis-data', { name: 'redis-data', settings: storage.redisData });

    if (backup.enabled && backup.repository.at === 'claim')
      this.backups = new Claim(this, 'backups', { name: 'backups', settings: storage.backups });

    const stack = derive.bundledStack(settings);
    if (stack) {
      this.monitoring = {
        prometheusData: new Claim(this, 'prometheus-data', { name: 'prometheus-data', settings: storage.prometheusData }),
        grafanaData: new Claim(this, 'grafana-data', { name: 'grafana-data', settings: storage.grafanaData }),
        ...(stack.alertmanager.source === 'bundled' && {
          alertmanagerData: new Claim(this, 'alertmanager-data', { name: 'alertmanager-data', settings: storage.alertmanagerData }),
        }),
      };
    }
  }

  /** All of them. */
  get claims(): readonly Claim[] {
    return this.node.children.filter((child): child is Claim => child instanceof Claim);
  }
}
