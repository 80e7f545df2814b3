import { Construct } from 'constructs';
import { COOKIE, type EdgeProps } from './edge-description';
import { StudioIngress } from './studio-ingress';

const annotation = (name: string) => `nginx.ingress.kubernetes.io/${name}`;
const UNIT = { second: 'rps', minute: 'rpm' } as const;

/** The studio's Ingresses in the dialect of ingress-nginx. A limit holds for a whole Ingress, so each way has its own. */
export class IngressNginxEdge extends Construct {
  static readonly serviceAnnotations = {};

  constructor(scope: Construct, id: string, { description: { ways, maxBodyBytes }, className }: EdgeProps) {
    super(scope, id);
    for (const way of ways) {
      const { limit, timeoutSeconds } = way;
      const annotations = {
        [annotation('ssl-redirect')]: 'true',
        [annotation('proxy-body-size')]: `${maxBodyBytes}`,
        [annotation('proxy-read-timeout')]: `${timeoutSeconds}`,
        [annotation('proxy-send-timeout')]: `${timeoutSeconds}`,
        [annotation('affinity')]: 'cookie',
        [annotation('session-cookie-name')]: COOKIE,
        [annotation('session-cookie-secure')]: 'true',
        [annotation('session-cookie-samesite')]: 'Lax',
        // The controller refuses with 503 unless its own ConfigMap says otherwise, but takes a burst of five times the limit:
        // clients meet web's 429 first.
        ...(limit && { [annotation(`limit-${UNIT[limit.per]}`)]: `${limit.requests}` }),
      };
      new StudioIngress(this, way.name, { className, host: way.host, way, tls: true, annotations });
    }
  }
}
