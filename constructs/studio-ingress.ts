import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { TLS_SECRET } from '../config/secrets';

/** Requests for a host, at a path and below it, and the Service that answers them at its port `http`. */
export interface Way extends derive.Route {
  readonly service: string;
}

/** Grafana serves its metrics to anybody. At the edge web answers there instead, which serves none. */
export const hiddenMetrics = (grafana: Way, web: string): Way => ({
  ...grafana,
  path: `${grafana.path.replace(/\/$/, '')}/metrics`,
  service: web,
});

export interface StudioIngressProps {
  readonly settings: Settings;
  readonly way: Way;
  readonly annotations: Readonly<Record<string, string>>;
  /** Whether the Ingress serves HTTPS with the studio's certificate. */
  readonly tls: boolean;
}

/** A way from the edge to one of the studio's Services. Its id is the name of the Ingress. */
export class StudioIngress extends Construct {
  constructor(scope: Construct, id: string, { settings, way, annotations, tls }: StudioIngressProps) {
    super(scope, id);
    const { host, path, service } = way;
    new k8s.KubeIngress(this, 'ingress', {
      metadata: { name: id, annotations: { ...annotations } },
      spec: {
        ingressClassName: derive.ingressClassName(settings),
        ...(tls && { tls: [{ hosts: [host], secretName: TLS_SECRET }] }),
        rules: [{ host, http: { paths: [{ path, pathType: 'Prefix', backend: { service: { name: service, port: { name: 'http' } } } }] } }],
      },
    });
  }
}
