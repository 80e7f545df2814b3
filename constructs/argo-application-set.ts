import { ApiObject } from 'cdk8s';
import { Construct } from 'constructs';
import { toJson_ApplicationSpec } from '../imports/argoproj.io';
import { type ArgoApplicationProps, applicationSpec, compareOptions } from './argo-application';

/** Of the Secret by which Argo CD knows a cluster. */
export const ENVIRONMENT_LABEL = 'orfeas/environment';

/** A studio in each cluster that is registered with the environment's label. Its removal from the list removes no studio. */
export class ArgoApplicationSet extends Construct {
  constructor(scope: Construct, id: string, { name, ...props }: ArgoApplicationProps) {
    super(scope, id);
    const { environment, gitops } = props.settings;
    new ApiObject(this, 'application-set', {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'ApplicationSet',
      metadata: { name, namespace: gitops.namespace },
      spec: {
        goTemplate: true,
        goTemplateOptions: ['missingkey=error'],
        generators: [{ clusters: { selector: { matchLabels: { [ENVIRONMENT_LABEL]: environment } } } }],
        template: {
          metadata: { name: `${name}-{{.nameNormalized}}`, annotations: compareOptions },
          spec: toJson_ApplicationSpec(applicationSpec(props, '{{.server}}')),
        },
        syncPolicy: { preserveResourcesOnDeletion: true },
      },
    });
  }
}
