import * as derive from '../config/derive';
import type { Settings } from '../config/schema';

const DAY_SECONDS = 86_400;
/** Name of the cookie by which an edge keeps a client with one pod of web, as Socket.IO's long polling needs. */
export const COOKIE = 'orfeas_web';

/** Requests that one client address may make in a period; as many are served at once. */
export interface Limit {
  readonly name: 'general' | 'api';
  readonly requests: number;
  readonly per: 'minute' | 'second';
}

/** A Service, and the number of its port `http`. */
export interface EdgeService {
  readonly name: string;
  readonly port: number;
}

/** Requests for a host, at a path and below it, and the Service that answers them. */
export interface Way extends derive.Route {
  /** Of the objects that make it. */
  readonly name: string;
  readonly service: EdgeService;
  readonly limit?: Limit;
  /** What is silent for longer is given up; where nothing streams, what takes longer. */
  readonly timeoutSeconds: number;
  /** Whether WebSockets or long downloads pass. */
  readonly streams: boolean;
}

/** What the edge is to do, whatever its dialect: serve these ways over HTTPS alone, and keep a client with one pod of web. */
export interface EdgeDescription {
  readonly ways: readonly Way[];
  /** Of each host the way that everything takes for which there is no other. */
  readonly hosts: readonly Way[];
  readonly maxBodyBytes: number;
}

export interface EdgeProps {
  readonly description: EdgeDescription;
  /** IngressClass or GatewayClass of the controller. */
  readonly className: string;
}

export interface EdgeServices {
  /** Serves the studio's page and API. */
  readonly web: EdgeService;
  /** Where the studio has its own. */
  readonly grafana?: EdgeService;
}

export function describeEdge(settings: Settings, { web, grafana }: EdgeServices): EdgeDescription {
  const { host, rateLimiting, performance, websocket } = settings;
  const limited = (limit: Limit) => rateLimiting.enabled && { limit };
  const general = limited({ name: 'general', requests: rateLimiting.generalPerSecond, per: 'second' });
  const brief = { timeoutSeconds: performance.gunicorn.timeoutSeconds, streams: false };

  const studio: Way = {
    name: 'studio',
    host,
    path: '/',
    service: web,
    ...general,
    timeoutSeconds: websocket.idleDays * DAY_SECONDS,
    streams: true,
  };
  const perMinute = limited({ name: 'api', requests: rateLimiting.apiPerMinute, per: 'minute' });
  const ways: Way[] = [studio, { name: 'studio-api', host, path: '/api', service: web, ...perMinute, ...brief }];
  const hosts = [studio];

  const route = derive.grafanaRoute(settings);
  if (grafana && route) {
    const way: Way = { name: 'grafana', ...route, service: grafana, ...general, ...brief, streams: true };
    // Grafana serves its metrics to anybody. Here web answers instead, which serves none.
    const path = `${route.path.replace(/\/$/, '')}/metrics`;
    ways.push(way, { name: 'grafana-metrics', host: route.host, path, service: web, ...general, ...brief });
    if (route.host !== host) hosts.push(way);
  }
  return { ways, hosts, maxBodyBytes: derive.maxBodyBytes(settings) };
}
