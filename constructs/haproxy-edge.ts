import { Construct } from 'constructs';
import { COOKIE, type EdgeProps } from './edge-description';
import { StudioIngress } from './studio-ingress';

const annotation = (name: string) => `haproxy.org/${name}`;
const PERIOD = { second: '1s', minute: '1m' } as const;

/** The studio's Ingresses in the dialect of HAProxy Technologies' controller. */
export class HaproxyEdge extends Construct {
  static readonly serviceAnnotations = { [annotation('cookie-persistence')]: COOKIE };

  constructor(scope: Construct, id: string, { description: { ways }, className }: EdgeProps) {
    super(scope, id);
    // The timeout is one of the Service, whichever way leads to it. A tunnel, such as a WebSocket, has another.
    const timeoutSeconds = Math.min(...ways.map(way => way.timeoutSeconds));
    for (const way of ways) {
      const { limit } = way;
      const annotations = {
        [annotation('ssl-redirect')]: 'true',
        [annotation('ssl-redirect-code')]: '301',
        [annotation('ssl-redirect-port')]: '443',
        [annotation('timeout-server')]: `${timeoutSeconds}s`,
        ...(limit && {
          [annotation('rate-limit-requests')]: `${limit.requests}`,
          [annotation('rate-limit-period')]: PERIOD[limit.per],
          [annotation('rate-limit-status-code')]: '429',
        }),
      };
      new StudioIngress(this, way.name, { className, host: way.host, way, tls: true, annotations });
    }
  }
}
