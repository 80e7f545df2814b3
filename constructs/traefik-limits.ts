import { Construct } from 'constructs';
import { Middleware, MiddlewareSpecRateLimitPeriod } from '../imports/traefik.io';
import type { Limit, Way } from './edge-description';

const PERIOD = { second: '1s', minute: '1m' } as const;

/** A Middleware for each limit of some ways. */
export class TraefikLimits extends Construct {
  static nameOf({ name }: Limit): string {
    return `${name}-limit`;
  }

  constructor(scope: Construct, id: string, ways: readonly Way[]) {
    super(scope, id);
    const limits = new Map(ways.flatMap(({ limit }) => (limit ? [[TraefikLimits.nameOf(limit), limit]] : [])));
    for (const [name, { requests, per }] of limits) {
      const period = MiddlewareSpecRateLimitPeriod.fromString(PERIOD[per]);
      new Middleware(this, name, { metadata: { name }, spec: { rateLimit: { average: requests, burst: requests, period } } });
    }
  }
}
