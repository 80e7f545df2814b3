/** What brings git to a cluster. */
export interface Deliverer {
  readonly name: string;
  /** Of the fields that it applies: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers */
  readonly manager: string;
  /** Labels and annotations on what it applies. It leaves them on what it lets go. */
  readonly marks: readonly string[];
}

export const deliverers: readonly Deliverer[] = [
  { name: 'Argo CD', manager: 'argocd-controller', marks: ['argocd.argoproj.io/tracking-id', 'argocd.argoproj.io/instance'] },
  {
    name: 'Flux',
    manager: 'kustomize-controller',
    marks: ['kustomize.toolkit.fluxcd.io/name', 'kustomize.toolkit.fluxcd.io/namespace'],
  },
];
