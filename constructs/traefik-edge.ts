import { Chart } from 'cdk8s';
import { Construct } from 'constructs';
import { Middleware, TlsOption } from '../imports/traefik.io';
import { COOKIE, type EdgeProps } from './edge-description';
import { StudioIngress } from './studio-ingress';
import { TraefikLimits } from './traefik-limits';

const ROUTER = 'traefik.ingress.kubernetes.io/router';
const SERVICE = 'traefik.ingress.kubernetes.io/service';

/** The studio's Ingresses in Traefik's dialect: limits, redirect and TLS versions are objects of its own. */
export class TraefikEdge extends Construct {
  static readonly serviceAnnotations = {
    [`${SERVICE}.sticky.cookie`]: 'true',
    [`${SERVICE}.sticky.cookie.name`]: COOKIE,
    [`${SERVICE}.sticky.cookie.httponly`]: 'true',
    [`${SERVICE}.sticky.cookie.secure`]: 'true',
    [`${SERVICE}.sticky.cookie.samesite`]: 'lax',
  };

  constructor(scope: Construct, id: string, { description: { ways, hosts }, className }: EdgeProps) {
    super(scope, id);
    const reference = (name: string) => `${Chart.of(this).namespace}-${name}@kubernetescrd`;
    const tls = new TlsOption(this, 'tls', { metadata: { name: 'studio' }, spec: { minVersion: 'VersionTLS12' } });
    new TraefikLimits(this, 'limits', ways);
    for (const way of ways) {
      const annotations = {
        [`${ROUTER}.entrypoints`]: 'websecure',
        [`${ROUTER}.tls`]: 'true',
        [`${ROUTER}.tls.options`]: reference(tls.name),
        ...(way.limit && { [`${ROUTER}.middlewares`]: reference(TraefikLimits.nameOf(way.limit)) }),
      };
      new StudioIngress(this, way.name, { className, host: way.host, way, tls: true, annotations });
    }
    const toHttps = new Middleware(this, 'to-https', {
      metadata: { name: 'to-https' },
      spec: { redirectScheme: { scheme: 'https', permanent: true } },
    });
    const annotations = { [`${ROUTER}.entrypoints`]: 'web', [`${ROUTER}.middlewares`]: reference(toHttps.name) };
    for (const way of hosts) new StudioIngress(this, `${way.name}-redirect`, { className, host: way.host, way, tls: false, annotations });
  }
}
