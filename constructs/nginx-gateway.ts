import { ApiObject } from 'cdk8s';
import { Construct } from 'constructs';
import { Gateway, HttpRoute } from '../imports/gateway.networking.k8s.io';
import type { EdgeProps, Limit, Way } from './edge-description';
import type { Pods } from './network-policies';
import { duration, StudioGateway } from './studio-gateway';

const UNIT = { second: 'r/s', minute: 'r/m' } as const;
const MEBIBYTE = 2 ** 20;

interface Target {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

/** Policies of NGINX Gateway Fabric, as its API v1alpha1 has them: no module that can be pinned holds their definitions. */
interface Policies {
  readonly ClientSettingsPolicy: { readonly targetRef: Target; readonly body: { readonly maxSize: string } };
  readonly ProxySettingsPolicy: {
    readonly targetRefs: readonly Target[];
    readonly timeout: { readonly read: string; readonly send: string };
  };
  readonly RateLimitPolicy: {
    readonly targetRefs: readonly Target[];
    readonly rateLimit: {
      readonly rejectCode: number;
      readonly local: {
        readonly rules: readonly {
          readonly key: string;
          readonly rate: string;
          readonly burst: number;
          readonly noDelay: boolean;
          readonly zoneSize: string;
        }[];
      };
    };
  };
  readonly UpstreamSettingsPolicy: { readonly targetRefs: readonly Target[]; readonly loadBalancingMethod: 'ip_hash' };
}

const routes = (ways: readonly Way[]): Target[] =>
  ways.map(({ name }) => ({ group: HttpRoute.GVK.apiVersion.split('/')[0] as string, kind: HttpRoute.GVK.kind, name }));

const distinct = <T>(values: readonly (T | undefined)[]): T[] => [...new Set(values)].filter(value => value !== undefined);

/** The studio's Gateway as NGINX Gateway Fabric serves it, from pods beside the studio's own. */
export class NginxGateway extends Construct {
  static readonly pods: Pods = { name: 'edge', selector: { 'gateway.networking.k8s.io/gateway-name': StudioGateway.gatewayName } };
  static readonly ports = [80, 443];
  /** Where the controller tells its pods what to serve. */
  static readonly controllerPort = 8443;

  constructor(scope: Construct, id: string, { description, className }: EdgeProps) {
    super(scope, id);
    const { ways, maxBodyBytes } = description;
    const policy = <Kind extends keyof Policies>(kind: Kind, name: string, spec: Policies[Kind]) =>
      new ApiObject(this, `${kind}-${name}`, { apiVersion: 'gateway.nginx.org/v1alpha1', kind, metadata: { name }, spec });

    new StudioGateway(this, 'gateway', { description, className, tlsOptions: { 'nginx.org/ssl-protocols': 'TLSv1.2 TLSv1.3' } });
    policy('ClientSettingsPolicy', 'studio', {
      targetRef: { group: 'gateway.networking.k8s.io', kind: Gateway.GVK.kind, name: StudioGateway.gatewayName },
      body: { maxSize: `${Math.ceil(maxBodyBytes / MEBIBYTE)}m` },
    });
    for (const seconds of distinct(ways.map(({ timeoutSeconds }) => timeoutSeconds))) {
      const time = duration(seconds);
      policy('ProxySettingsPolicy', `timeout-${time}`, {
        targetRefs: routes(ways.filter(({ timeoutSeconds }) => timeoutSeconds === seconds)),
        timeout: { read: time, send: time },
      });
    }
    for (const limit of distinct<Limit>(ways.map(way => way.limit))) {
      const { name, requests, per } = limit;
      policy('RateLimitPolicy', `${name}-limit`, {
        targetRefs: routes(ways.filter(way => way.limit === limit)),
        rateLimit: {
          rejectCode: 429,
          local: {
            rules: [{ key: '$binary_remote_addr', rate: `${requests}${UNIT[per]}`, burst: requests - 1, noDelay: true, zoneSize: '10m' }],
          },
        },
      });
    }
    policy('UpstreamSettingsPolicy', 'studio', {
      targetRefs: distinct(ways.map(({ service }) => service.name)).map(name => ({ group: 'core', kind: 'Service', name })),
      // Cookies are for NGINX Plus alone.
      loadBalancingMethod: 'ip_hash',
    });
  }
}
