/**
 * Annotations of what has data: whoever deploys from git neither removes it when its manifest goes or the whole studio does, nor
 * takes it for a difference from then on. A person removes it, with kubectl.
 */
export const kept = {
  'argocd.argoproj.io/sync-options': 'Prune=false,Delete=false',
  'argocd.argoproj.io/compare-options': 'IgnoreExtraneous',
  'kustomize.toolkit.fluxcd.io/prune': 'disabled',
} as const;
