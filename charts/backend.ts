import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { Backend } from '../constructs/backend';
import type { Redis } from '../constructs/redis';
import { StudioChart } from '../constructs/studio-chart';
import type { StorageChart } from './storage';

export interface BackendChartProps {
  readonly settings: Settings;
  readonly redis: Redis;
  readonly storage: StorageChart;
}

/** The API, the GPU worker and the Socket.IO server. */
export class BackendChart extends StudioChart {
  readonly backend: Backend;

  constructor(scope: Construct, id: string, { settings, redis, storage }: BackendChartProps) {
    super(scope, id, {
      namespace: settings.namespace,
      identity: { name: 'backend', component: 'backend', version: settings.images.version },
    });
    const { outputs, huggingfaceCache, hy3dgenCache } = storage;
    this.backend = new Backend(this, 'backend', { settings, redis, outputs, huggingfaceCache, hy3dgenCache });
  }
}
