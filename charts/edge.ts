import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { IngressNginxEdge } from '../constructs/ingress-nginx-edge';
import { LetsEncrypt } from '../constructs/lets-encrypt';
import { StudioChart } from '../constructs/studio-chart';
import { TraefikEdge } from '../constructs/traefik-edge';
import type { Web } from '../constructs/web';

const dialects = { traefik: TraefikEdge, 'ingress-nginx': IngressNginxEdge } as const;

export interface EdgeChartProps {
  readonly settings: Settings;
  readonly web: Web;
}

/** The way in: Ingresses in the dialect of the cluster's controller, and the certificate. */
export class EdgeChart extends StudioChart {
  static serviceAnnotations({ edge }: Settings): Readonly<Record<string, string>> {
    return dialects[edge.dialect].serviceAnnotations;
  }

  constructor(scope: Construct, id: string, { settings, web }: EdgeChartProps) {
    const { namespace, images, edge } = settings;
    super(scope, id, { namespace, identity: { name: 'studio', component: 'edge', version: images.version } });
    new dialects[edge.dialect](this, 'edge', { settings, web });
    if (edge.certificate.source === 'lets-encrypt') new LetsEncrypt(this, 'lets-encrypt', { settings, certificate: edge.certificate });
  }
}
