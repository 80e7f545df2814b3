import { ApiObject, App } from 'cdk8s';
import { BackupBeforeSyncChart } from './charts/backup-before-sync';
import { GitopsChart } from './charts/gitops';
import type { Settings } from './config';
import { acceptFindings } from './constructs/accepted-findings';
import { ArgoApplication } from './constructs/argo-application';
import { ArgoApplicationSet } from './constructs/argo-application-set';
import { ArgoProject } from './constructs/argo-project';
import { configFile } from './constructs/config-files';
import { numberWaves } from './constructs/sync-waves';

/** Below dist/. */
export const GITOPS = 'argocd';
/** What only Argo CD applies: `kubectl apply` would do so once, and fail the next time. */
export const HOOKS = 'hooks';

/** Kinds that Argo CD knows no health of, or another than ours. */
const HEALTH = ['PersistentVolumeClaim', 'networking.k8s.io_Ingress'];

export interface Gitops {
  /** The AppProject, the Application and the ApplicationSet. */
  readonly argocd: App;
  /** What Argo CD does at each sync. */
  readonly hooks: App;
}

function kindsOf(...apps: readonly App[]): { readonly group: string; readonly kind: string }[] {
  const objects = apps.flatMap(app => app.node.findAll()).filter(ApiObject.isApiObject);
  const groupOf = (apiVersion: string) => apiVersion.slice(0, Math.max(apiVersion.indexOf('/'), 0));
  const kinds = new Map(objects.map(({ apiVersion, kind }) => [`${groupOf(apiVersion)}/${kind}`, { group: groupOf(apiVersion), kind }]));
  return [...kinds.keys()].sort().flatMap(name => kinds.get(name) ?? []);
}

/** What Argo CD needs to deploy a studio from git. */
export function buildGitops(settings: Settings, studio: App): Gitops {
  const { environment, backup } = settings;
  const hooks = new App();
  // After what the pod of a backup needs, before what a backup is made of.
  if (backup.enabled) new BackupBeforeSyncChart(hooks, '25-backup', { settings });
  acceptFindings(hooks, settings);
  numberWaves(hooks);

  const argocd = new App();
  const name = `orfeas-${environment}`;
  const folders = [`dist/${environment}`, ...(backup.enabled ? [`dist/${GITOPS}/${environment}/${HOOKS}`] : [])];
  const application = { settings, name, project: name, folders };
  const chart = (id: string) => new GitopsChart(argocd, id, { settings });
  new ArgoProject(chart('00-project'), 'project', { settings, name, kinds: kindsOf(studio, hooks) });
  new ArgoApplication(chart('10-application'), 'application', application);
  new ArgoApplicationSet(chart('20-clusters'), 'clusters', application);
  return { argocd, hooks };
}

/** What Argo CD's own ConfigMap argocd-cm lacks, as a patch of it. */
export const healthPatch = (): object => ({
  data: Object.fromEntries(HEALTH.map(kind => [`resource.customizations.health.${kind}`, configFile(`argocd/${kind}.lua`)])),
});
