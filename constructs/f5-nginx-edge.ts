import { Construct } from 'constructs';
import type { EdgeProps } from './edge-description';
import { StudioIngress } from './studio-ingress';

const annotation = (name: string) => `nginx.org/${name}`;
const UNIT = { second: 'r/s', minute: 'r/m' } as const;

/**
 * The studio's Ingresses in the dialect of F5's NGINX Ingress Controller. It takes one Ingress for a host, the master, and
 * others, the minions, for its paths.
 */
export class F5NginxEdge extends Construct {
  static readonly serviceAnnotations = {};

  constructor(scope: Construct, id: string, { description: { ways, hosts, maxBodyBytes }, className }: EdgeProps) {
    super(scope, id);
    for (const { name, host } of hosts) {
      const annotations = { [annotation('mergeable-ingress-type')]: 'master', [annotation('ssl-redirect')]: 'true' };
      new StudioIngress(this, `${name}-host`, { className, host, tls: true, annotations });
    }
    for (const way of ways) {
      const { limit, timeoutSeconds, service } = way;
      const annotations = {
        [annotation('mergeable-ingress-type')]: 'minion',
        [annotation('client-max-body-size')]: `${maxBodyBytes}`,
        [annotation('proxy-read-timeout')]: `${timeoutSeconds}s`,
        [annotation('proxy-send-timeout')]: `${timeoutSeconds}s`,
        // Cookies are for NGINX Plus alone.
        [annotation('lb-method')]: 'ip_hash',
        ...(way.streams && { [annotation('websocket-services')]: service.name }),
        ...(limit && {
          [annotation('limit-req-rate')]: `${limit.requests}${UNIT[limit.per]}`,
          // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of nginx
          [annotation('limit-req-key')]: '${binary_remote_addr}',
          [annotation('limit-req-zone-size')]: '10M',
          // Beyond the first request.
          [annotation('limit-req-burst')]: `${limit.requests - 1}`,
          [annotation('limit-req-no-delay')]: 'true',
          [annotation('limit-req-reject-code')]: '429',
        }),
      };
      new StudioIngress(this, way.name, { className, host: way.host, way, tls: false, annotations });
    }
  }
}
