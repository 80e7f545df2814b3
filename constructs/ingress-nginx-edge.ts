import { Construct } from 'constructs';
import * as derive from '../config/derive';
import { hiddenMetrics, StudioIngress } from './studio-ingress';
import type { EdgeProps } from './traefik-edge';

const annotation = (name: string) => `nginx.ingress.kubernetes.io/${name}`;
const DAY_SECONDS = 86_400;

/** The studio's Ingresses in the dialect of ingress-nginx. A limit holds for a whole Ingress, so the API has its own. */
export class IngressNginxEdge extends Construct {
  static readonly serviceAnnotations = {};

  constructor(scope: Construct, id: string, { settings, web, grafana }: EdgeProps) {
    super(scope, id);
    const { host, rateLimiting, performance, websocket } = settings;
    const common = (timeoutSeconds: number) => ({
      [annotation('ssl-redirect')]: 'true',
      [annotation('proxy-body-size')]: `${derive.maxBodyBytes(settings)}`,
      [annotation('proxy-read-timeout')]: `${timeoutSeconds}`,
      [annotation('proxy-send-timeout')]: `${timeoutSeconds}`,
    });
    // The controller refuses with 503 unless its own ConfigMap says otherwise, but takes a burst of five times the limit:
    // clients meet web's 429 first.
    const limit = (unit: 'rpm' | 'rps', requests: number) => ({ [annotation(`limit-${unit}`)]: `${requests}` });

    new StudioIngress(this, 'studio', {
      settings,
      way: { host, path: '/', service: web },
      tls: true,
      annotations: {
        ...common(websocket.idleDays * DAY_SECONDS),
        // One client stays with one pod of web, as Socket.IO's long polling needs.
        [annotation('affinity')]: 'cookie',
        [annotation('session-cookie-name')]: 'orfeas_web',
        [annotation('session-cookie-secure')]: 'true',
        [annotation('session-cookie-samesite')]: 'Lax',
        ...(rateLimiting.enabled && limit('rps', rateLimiting.generalPerSecond)),
      },
    });
    if (rateLimiting.enabled) {
      new StudioIngress(this, 'studio-api', {
        settings,
        way: { host, path: '/api', service: web },
        tls: true,
        annotations: { ...common(performance.gunicorn.timeoutSeconds), ...limit('rpm', rateLimiting.apiPerMinute) },
      });
    }
    if (grafana) {
      const annotations = {
        ...common(performance.gunicorn.timeoutSeconds),
        ...(rateLimiting.enabled && limit('rps', rateLimiting.generalPerSecond)),
      };
      new StudioIngress(this, 'grafana', { settings, way: grafana, tls: true, annotations });
      new StudioIngress(this, 'grafana-metrics', { settings, way: hiddenMetrics(grafana, web), tls: true, annotations });
    }
  }
}
