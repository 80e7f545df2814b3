import { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { Application, type ApplicationSpec } from '../imports/argoproj.io';

/** Argo CD's own address of the cluster that it runs in. */
const THIS_CLUSTER = 'https://kubernetes.default.svc';

/** How objects are compared: by a dry run of the API server, which knows its defaults and how it writes quantities. */
export const compareOptions = { 'argocd.argoproj.io/compare-options': 'ServerSideDiff=true' } as const;

export interface ArgoApplicationProps {
  readonly settings: Settings;
  readonly name: string;
  readonly project: string;
  /** Folders of the repository that are applied together. */
  readonly folders: readonly string[];
}

/** How a studio gets to a cluster, and stays as git has it. */
export const applicationSpec = (
  { settings: { namespace, gitops }, project, folders }: Omit<ArgoApplicationProps, 'name'>,
  server: string = THIS_CLUSTER,
): ApplicationSpec => ({
  project,
  destination: { server, namespace },
  sources: folders.map(path => ({
    repoUrl: gitops.repository,
    targetRevision: gitops.revision,
    path,
    directory: { include: '*.yaml' },
  })),
  syncPolicy: {
    automated: { prune: true, selfHeal: true },
    // What git has no more goes last: after the backup, and once all else is well.
    syncOptions: ['ServerSideApply=true', 'CreateNamespace=false', 'PruneLast=true', 'FailOnSharedResource=true'],
    retry: { limit: 5, backoff: { duration: '10s', factor: 2, maxDuration: '3m' } },
  },
});

/** A studio in the cluster that Argo CD runs in. Without a finalizer: nothing of the studio goes when this goes. */
export class ArgoApplication extends Construct {
  constructor(scope: Construct, id: string, { name, ...props }: ArgoApplicationProps) {
    super(scope, id);
    new Application(this, 'application', {
      metadata: { name, namespace: props.settings.gitops.namespace, annotations: compareOptions },
      spec: applicationSpec(props),
    });
  }
}
