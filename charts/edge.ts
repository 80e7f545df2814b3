import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { describeEdge, type EdgeProps } from '../constructs/edge-description';
import { EnvoyGateway } from '../constructs/envoy-gateway';
import { F5NginxEdge } from '../constructs/f5-nginx-edge';
import type { Grafana } from '../constructs/grafana';
import { HaproxyEdge } from '../constructs/haproxy-edge';
import { IngressNginxEdge } from '../constructs/ingress-nginx-edge';
import { NginxGateway } from '../constructs/nginx-gateway';
import { StudioCertificate } from '../constructs/studio-certificate';
import { StudioChart } from '../constructs/studio-chart';
import { TraefikEdge } from '../constructs/traefik-edge';
import { TraefikGateway } from '../constructs/traefik-gateway';
import type { Web } from '../constructs/web';

const ingressDialects = { traefik: TraefikEdge, 'ingress-nginx': IngressNginxEdge, nginx: F5NginxEdge, haproxy: HaproxyEdge } as const;

type EdgeSettings = Settings['edge'];

/** The way in, in the dialect of the cluster's controller. */
function build(scope: Construct, edge: EdgeSettings, props: EdgeProps): void {
  if (edge.dialect !== 'gateway-api') {
    new ingressDialects[edge.dialect](scope, 'edge', props);
    return;
  }
  switch (edge.implementation) {
    case 'traefik':
      new TraefikGateway(scope, 'edge', { ...props, ports: edge.ports });
      return;
    case 'envoy-gateway':
      new EnvoyGateway(scope, 'edge', props);
      return;
    case 'nginx-gateway-fabric':
      new NginxGateway(scope, 'edge', props);
  }
}

export interface EdgeChartProps {
  readonly settings: Settings;
  readonly web: Web;
  /** Where the studio has its own. */
  readonly grafana?: Grafana;
}

/** The way in, and the certificate. */
export class EdgeChart extends StudioChart {
  static serviceAnnotations({ edge }: Settings): Readonly<Record<string, string>> {
    return edge.dialect === 'gateway-api' ? {} : ingressDialects[edge.dialect].serviceAnnotations;
  }

  constructor(scope: Construct, id: string, { settings, web, grafana }: EdgeChartProps) {
    const { namespace, images, edge } = settings;
    super(scope, id, { namespace, identity: { name: 'studio', component: 'edge', version: images.version } });
    const description = describeEdge(settings, {
      web: { name: web.service.name, port: web.service.port },
      ...(grafana && { grafana: { name: grafana.name, port: grafana.port } }),
    });
    build(this, edge, { description, className: edge.className });
    const { certificate } = edge;
    if (certificate.source !== 'secret') new StudioCertificate(this, 'certificate', { settings, certificate });
  }
}
