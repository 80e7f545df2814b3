import { Construct } from 'constructs';
import { HttpRouteSpecRulesFiltersType } from '../imports/gateway.networking.k8s.io';
import {
  Middleware,
  TraefikService,
  TraefikServiceSpecWeightedServicesPort,
  TraefikServiceSpecWeightedServicesStickyCookieSameSite,
} from '../imports/traefik.io';
import { COOKIE, type EdgeProps } from './edge-description';
import { StudioGateway, type StudioGatewayProps } from './studio-gateway';
import { TraefikLimits } from './traefik-limits';

const group = 'traefik.io';

/** The studio's Gateway as Traefik serves it: limits are its Middlewares, and a TraefikService keeps clients with their pods. */
export class TraefikGateway extends Construct {
  constructor(scope: Construct, id: string, { description, className, ports }: EdgeProps & Pick<StudioGatewayProps, 'ports'>) {
    super(scope, id);
    const { ways } = description;
    new TraefikLimits(this, 'limits', ways);
    const services = new Map(ways.map(({ service }) => [service.name, service]));
    for (const { name, port } of services.values()) {
      const cookie = {
        name: COOKIE,
        httpOnly: true,
        secure: true,
        sameSite: TraefikServiceSpecWeightedServicesStickyCookieSameSite.LAX,
      };
      new TraefikService(this, name, {
        metadata: { name },
        spec: { weighted: { services: [{ name, port: TraefikServiceSpecWeightedServicesPort.fromNumber(port), sticky: { cookie } }] } },
      });
    }
    new StudioGateway(this, 'gateway', {
      description,
      className,
      ...(ports && { ports }),
      rule: ({ service, limit }) => ({
        ...(limit && {
          filters: [
            {
              type: HttpRouteSpecRulesFiltersType.EXTENSION_REF,
              extensionRef: { group, kind: Middleware.GVK.kind, name: TraefikLimits.nameOf(limit) },
            },
          ],
        }),
        backendRefs: [{ group, kind: TraefikService.GVK.kind, name: service.name }],
      }),
    });
  }
}
