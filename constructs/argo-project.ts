import { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { AppProject } from '../imports/argoproj.io';

export interface ArgoProjectProps {
  readonly settings: Settings;
  readonly name: string;
  /** Kinds of the objects that come from git. */
  readonly kinds: readonly { readonly group: string; readonly kind: string }[];
}

/** What Argo CD may do for a studio: from one repository, to one namespace, and only with the kinds that are there. */
export class ArgoProject extends Construct {
  constructor(scope: Construct, id: string, { settings, name, kinds }: ArgoProjectProps) {
    super(scope, id);
    const { namespace, environment, gitops } = settings;
    new AppProject(this, 'project', {
      metadata: { name, namespace: gitops.namespace },
      spec: {
        description: `ORFEAS AI 2D→3D Studio, ${environment}`,
        sourceRepos: [gitops.repository],
        // On any cluster: which have a studio is for Applications to say.
        destinations: [{ server: '*', namespace }],
        clusterResourceWhitelist: [{ group: '', kind: 'Namespace', name: namespace }],
        namespaceResourceWhitelist: kinds.filter(({ kind }) => kind !== 'Namespace'),
      },
    });
  }
}
