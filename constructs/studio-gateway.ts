import { Construct } from 'constructs';
import { TLS_SECRET } from '../config/secrets';
import {
  Gateway,
  HttpRoute,
  type HttpRouteSpecRules,
  HttpRouteSpecRulesFiltersRequestRedirectScheme,
  HttpRouteSpecRulesFiltersRequestRedirectStatusCode,
  HttpRouteSpecRulesFiltersType,
  HttpRouteSpecRulesMatchesPathType,
} from '../imports/gateway.networking.k8s.io';
import type { EdgeProps, Way } from './edge-description';

/** What an implementation of Gateway API adds to a way. */
export type RouteRule = Pick<HttpRouteSpecRules, 'filters' | 'backendRefs' | 'timeouts'>;

export interface StudioGatewayProps extends EdgeProps {
  readonly ports?: { readonly http: number; readonly https: number };
  /** Options that the implementation takes for TLS. */
  readonly tlsOptions?: Readonly<Record<string, string>>;
  /** What the implementation adds to a way; a way leads to its Service unless this says where. */
  readonly rule?: (way: Way) => RouteRule;
}

/** Seconds as Gateway API writes them, which has no more than four digits in every implementation. */
export const duration = (seconds: number): string => (seconds < 10_000 ? `${seconds}s` : `${Math.ceil(seconds / 3600)}h`);

const listener = (sectionName: 'http' | 'https') => [{ name: StudioGateway.gatewayName, sectionName }];

/** The studio's Gateway, which redirects HTTP, and an HTTPRoute for each way. */
export class StudioGateway extends Construct {
  static readonly gatewayName = 'studio';

  constructor(
    scope: Construct,
    id: string,
    { description, className, ports = { http: 80, https: 443 }, tlsOptions, rule = () => ({}) }: StudioGatewayProps,
  ) {
    super(scope, id);
    new Gateway(this, 'gateway', {
      metadata: { name: StudioGateway.gatewayName },
      spec: {
        gatewayClassName: className,
        listeners: [
          { name: 'http', protocol: 'HTTP', port: ports.http },
          {
            name: 'https',
            protocol: 'HTTPS',
            port: ports.https,
            tls: { certificateRefs: [{ name: TLS_SECRET }], ...(tlsOptions && { options: { ...tlsOptions } }) },
          },
        ],
      },
    });
    for (const way of description.ways) {
      new HttpRoute(this, way.name, {
        metadata: { name: way.name },
        spec: {
          parentRefs: listener('https'),
          hostnames: [way.host],
          rules: [
            {
              matches: [{ path: { type: HttpRouteSpecRulesMatchesPathType.PATH_PREFIX, value: way.path } }],
              backendRefs: [{ ...way.service }],
              ...rule(way),
            },
          ],
        },
      });
    }
    for (const { name, host } of description.hosts) {
      new HttpRoute(this, `${name}-redirect`, {
        metadata: { name: `${name}-redirect` },
        spec: {
          parentRefs: listener('http'),
          hostnames: [host],
          rules: [
            {
              filters: [
                {
                  type: HttpRouteSpecRulesFiltersType.REQUEST_REDIRECT,
                  requestRedirect: {
                    scheme: HttpRouteSpecRulesFiltersRequestRedirectScheme.HTTPS,
                    statusCode: HttpRouteSpecRulesFiltersRequestRedirectStatusCode.VALUE_301,
                  },
                },
              ],
            },
          ],
        },
      });
    }
  }
}
