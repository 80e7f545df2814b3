import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { TLS_SECRET } from '../config/secrets';
import type { Web } from './web';

export interface StudioIngressProps {
  readonly settings: Settings;
  readonly web: Web;
  /** Path and everything below it. */
  readonly path: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Whether the Ingress serves HTTPS with the studio's certificate. */
  readonly tls: boolean;
}

/** A way from the edge to web, on the studio's host. Its id is the name of the Ingress. */
export class StudioIngress extends Construct {
  constructor(scope: Construct, id: string, { settings, web, path, annotations, tls }: StudioIngressProps) {
    super(scope, id);
    new k8s.KubeIngress(this, 'ingress', {
      metadata: { name: id, annotations: { ...annotations } },
      spec: {
        ingressClassName: derive.ingressClassName(settings),
        ...(tls && { tls: [{ hosts: [settings.host], secretName: TLS_SECRET }] }),
        rules: [
          {
            host: settings.host,
            http: { paths: [{ path, pathType: 'Prefix', backend: { service: { name: web.service.name, port: { name: 'http' } } } }] },
          },
        ],
      },
    });
  }
}
