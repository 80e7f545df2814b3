import type { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import type { Grafana } from '../constructs/grafana';
import { IngressNginxEdge } from '../constructs/ingress-nginx-edge';
import { LetsEncrypt } from '../constructs/lets-encrypt';
import { StudioChart } from '../constructs/studio-chart';
import { TraefikEdge } from '../constructs/traefik-edge';
import type { Web } from '../constructs/web';

const dialects = { traefik: TraefikEdge, 'ingress-nginx': IngressNginxEdge } as const;

export interface EdgeChartProps {
  readonly settings: Settings;
  readonly web: Web;
  /** Where the studio has its own. */
  readonly grafana?: Grafana;
}

/** The way in: Ingresses in the dialect of the cluster's controller, and the certificate. */
export class EdgeChart extends StudioChart {
  static serviceAnnotations({ edge }: Settings): Readonly<Record<string, string>> {
    return dialects[edge.dialect].serviceAnnotations;
  }

  constructor(scope: Construct, id: string, { settings, web, grafana }: EdgeChartProps) {
    const { namespace, images, edge } = settings;
    super(scope, id, { namespace, identity: { name: 'studio', component: 'edge', version: images.version } });
    const route = derive.grafanaRoute(settings);
    new dialects[edge.dialect](this, 'edge', {
      settings,
      web: web.service.name,
      ...(grafana && route && { grafana: { ...route, service: grafana.name } }),
    });
    if (edge.certificate.source === 'lets-encrypt') new LetsEncrypt(this, 'lets-encrypt', { settings, certificate: edge.certificate });
  }
}
