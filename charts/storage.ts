import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { Claim } from '../constructs/claim';
import { StudioChart } from '../constructs/studio-chart';

export interface StorageChartProps {
  readonly settings: Settings;
}

/** The volumes, apart from what uses them, so that no change there can remove one. */
export class StorageChart extends StudioChart {
  readonly huggingfaceCache: Claim;
  readonly hy3dgenCache: Claim;
  readonly outputs: Claim;
  readonly redisData: Claim;

  constructor(scope: Construct, id: string, { settings }: StorageChartProps) {
    const { namespace, images, storage } = settings;
    super(scope, id, { namespace, identity: { name: 'orfeas', component: 'storage', version: images.version } });
    this.huggingfaceCache = new Claim(this, 'huggingface-cache', { name: 'huggingface-cache', settings: storage.huggingfaceCache });
    this.hy3dgenCache = new Claim(this, 'hy3dgen-cache', { name: 'hy3dgen-cache', settings: storage.hy3dgenCache });
    this.outputs = new Claim(this, 'outputs', { name: 'outputs', settings: storage.outputs });
    this.redisData = new Claim(this, 'redis-data', { name: 'redis-data', settings: storage.redisData });
  }
}
