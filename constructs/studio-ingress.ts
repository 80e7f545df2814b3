import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import { TLS_SECRET } from '../config/secrets';
import type { Way } from './edge-description';

export interface StudioIngressProps {
  readonly className: string;
  readonly host: string;
  /** Where requests go; nowhere, where other Ingresses have the paths of this host. */
  readonly way?: Pick<Way, 'path' | 'service'>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Whether the Ingress serves HTTPS with the studio's certificate. */
  readonly tls: boolean;
}

/** A way from the edge to one of the studio's Services. Its id is the name of the Ingress. */
export class StudioIngress extends Construct {
  constructor(scope: Construct, id: string, { className, host, way, annotations, tls }: StudioIngressProps) {
    super(scope, id);
    const backend = (name: string) => ({ service: { name, port: { name: 'http' } } });
    new k8s.KubeIngress(this, 'ingress', {
      metadata: { name: id, annotations: { ...annotations } },
      spec: {
        ingressClassName: className,
        ...(tls && { tls: [{ hosts: [host], secretName: TLS_SECRET }] }),
        rules: [{ host, ...(way && { http: { paths: [{ path: way.path, pathType: 'Prefix', backend: backend(way.service.name) }] } }) }],
      },
    });
  }
}
