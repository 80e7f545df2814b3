import type { Construct } from 'constructs';
import { upstreamImages } from '../config/images';
import type { Settings } from '../config/schema';
import type { Claim } from '../constructs/claim';
import { Redis } from '../constructs/redis';
import { StudioChart } from '../constructs/studio-chart';

export interface RedisChartProps {
  readonly settings: Settings;
  readonly data: Claim;
}

/** The job queue. */
export class RedisChart extends StudioChart {
  readonly redis: Redis;

  constructor(scope: Construct, id: string, { settings, data }: RedisChartProps) {
    super(scope, id, {
      namespace: settings.namespace,
      identity: { name: 'redis', component: 'queue', version: upstreamImages.redis.tag },
    });
    this.redis = new Redis(this, 'redis', { settings, data });
  }
}
