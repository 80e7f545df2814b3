import { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { Middleware, type MiddlewareSpec, MiddlewareSpecRateLimitPeriod, TlsOption } from '../imports/traefik.io';
import { hiddenMetrics, StudioIngress, type Way } from './studio-ingress';

const ROUTER = 'traefik.ingress.kubernetes.io/router';
const SERVICE = 'traefik.ingress.kubernetes.io/service';

export interface EdgeProps {
  readonly settings: Settings;
  /** The Service that serves the studio's page and API. */
  readonly web: string;
  /** The way to Grafana, where the edge serves it. */
  readonly grafana?: Way;
}

/** The studio's Ingresses in Traefik's dialect: limits, redirect and TLS versions are objects of its own. */
export class TraefikEdge extends Construct {
  /** One client stays with one pod of web, as Socket.IO's long polling needs. */
  static readonly serviceAnnotations = {
    [`${SERVICE}.sticky.cookie`]: 'true',
    [`${SERVICE}.sticky.cookie.name`]: 'orfeas_web',
    [`${SERVICE}.sticky.cookie.httponly`]: 'true',
    [`${SERVICE}.sticky.cookie.secure`]: 'true',
    [`${SERVICE}.sticky.cookie.samesite`]: 'lax',
  };

  constructor(scope: Construct, id: string, { settings, web, grafana }: EdgeProps) {
    super(scope, id);
    const { namespace, host, rateLimiting } = settings;
    const reference = (name: string) => `${namespace}-${name}@kubernetescrd`;
    const middleware = (name: string, spec: MiddlewareSpec): string => {
      new Middleware(this, name, { metadata: { name }, spec });
      return reference(name);
    };
    const limit = (name: string, requests: number, period: string): string =>
      middleware(name, { rateLimit: { average: requests, burst: requests, period: MiddlewareSpecRateLimitPeriod.fromString(period) } });

    new TlsOption(this, 'tls', { metadata: { name: 'studio' }, spec: { minVersion: 'VersionTLS12' } });
    const secure = (middlewares: readonly string[]) => ({
      [`${ROUTER}.entrypoints`]: 'websecure',
      [`${ROUTER}.tls`]: 'true',
      [`${ROUTER}.tls.options`]: reference('studio'),
      ...(middlewares.length > 0 && { [`${ROUTER}.middlewares`]: middlewares.join(',') }),
    });

    const general = secure(rateLimiting.enabled ? [limit('general-limit', rateLimiting.generalPerSecond, '1s')] : []);
    new StudioIngress(this, 'studio', { settings, way: { host, path: '/', service: web }, tls: true, annotations: general });
    if (rateLimiting.enabled) {
      new StudioIngress(this, 'studio-api', {
        settings,
        way: { host, path: '/api', service: web },
        tls: true,
        annotations: secure([limit('api-limit', rateLimiting.apiPerMinute, '1m')]),
      });
    }
    const redirect = {
      [`${ROUTER}.entrypoints`]: 'web',
      [`${ROUTER}.middlewares`]: middleware('to-https', { redirectScheme: { scheme: 'https', permanent: true } }),
    };
    new StudioIngress(this, 'studio-redirect', {
      settings,
      way: { host, path: '/', service: web },
      tls: false,
      annotations: redirect,
    });
    if (grafana) {
      new StudioIngress(this, 'grafana', { settings, way: grafana, tls: true, annotations: general });
      new StudioIngress(this, 'grafana-metrics', { settings, way: hiddenMetrics(grafana, web), tls: true, annotations: general });
      if (grafana.host !== host) new StudioIngress(this, 'grafana-redirect', { settings, way: grafana, tls: false, annotations: redirect });
    }
  }
}
