import type { SettingsInput } from '../../config';
import { environmentNames, remarks } from '../../config';
import { healthPatch } from '../../gitops';
import { find, gitopsOf, manifestsOf, settingsOf } from '../support';

const WAVE = 'argocd.argoproj.io/sync-wave';
const repository = 'https://git.studio.test/studio.git';
const production = (changes: Partial<SettingsInput> = {}) => settingsOf('production', { gitops: { repository }, ...changes });
const usual = gitopsOf(production());

describe.each(environmentNames)('%s', environment => {
  const settings = settingsOf(environment);
  const { argocd, hooks } = gitopsOf(settings);
  const name = `orfeas-${environment}`;

  test('the project allows its namespace, its repository, and the kinds that are there', () => {
    const { spec } = find(argocd, 'AppProject', name);
    expect(spec.destinations).toEqual([{ server: '*', namespace: settings.namespace }]);
    expect(spec.sourceRepos).toEqual([settings.gitops.repository]);
    expect(spec.clusterResourceWhitelist).toEqual([{ group: '', kind: 'Namespace', name: settings.namespace }]);
    const group = (apiVersion: string) => (apiVersion.includes('/') ? apiVersion.split('/')[0] : '');
    const there = [...manifestsOf(settings), ...hooks].map(({ apiVersion, kind }) => `${group(apiVersion)}/${kind}`);
    const allowed = spec.namespaceResourceWhitelist.map((one: { group: string; kind: string }) => `${one.group}/${one.kind}`);
    expect([...allowed, '/Namespace'].sort()).toEqual([...new Set(there)].sort());
  });

  test('an Application for the own cluster, and one for each that has the label', () => {
    const { spec } = find(argocd, 'Application', name);
    expect(spec.destination).toEqual({ server: 'https://kubernetes.default.svc', namespace: settings.namespace });
    const set = find(argocd, 'ApplicationSet', name).spec;
    expect(set.generators).toEqual([{ clusters: { selector: { matchLabels: { 'orfeas/environment': environment } } } }]);
    expect(set.template.spec).toEqual({ ...spec, destination: { ...spec.destination, server: '{{.server}}' } });
  });

  test("objects are applied in the order of their files' numbers", () => {
    const waves = manifestsOf(settings).map(({ metadata }) => metadata.annotations?.[WAVE]);
    expect([...new Set(waves)].map(Number).sort((a, b) => a - b)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80]);
  });
});

test('git is followed where the settings say', () => {
  const { argocd } = gitopsOf(production({ gitops: { repository, revision: 'v1.2.0', namespace: 'gitops' } }));
  for (const { metadata } of argocd) expect(metadata.namespace).toBe('gitops');
  expect(find(argocd, 'Application', 'orfeas-production').spec.sources).toEqual(
    ['dist/production', 'dist/argocd/production/hooks'].map(path => ({
      repoURL: repository,
      targetRevision: 'v1.2.0',
      path,
      directory: { include: '*.yaml' },
    })),
  );
});

test('what changes by hand or goes from git is corrected, and a failure is tried again', () => {
  expect(find(usual.argocd, 'Application', 'orfeas-production').spec.syncPolicy).toEqual({
    automated: { prune: true, selfHeal: true },
    syncOptions: ['ServerSideApply=true', 'CreateNamespace=false', 'PruneLast=true', 'FailOnSharedResource=true'],
    retry: { limit: 5, backoff: { duration: '10s', factor: 2, maxDuration: '3m' } },
  });
});

test('nothing of a studio goes with its Application', () => {
  expect(find(usual.argocd, 'Application', 'orfeas-production').metadata).not.toHaveProperty('finalizers');
  expect(find(usual.argocd, 'ApplicationSet', 'orfeas-production').spec.syncPolicy.preserveResourcesOnDeletion).toBe(true);
});

test('claims and the namespace stay, whoever deploys', () => {
  const kept = manifestsOf(production()).filter(({ kind }) => ['Namespace', 'PersistentVolumeClaim'].includes(kind));
  expect(kept).toHaveLength(8);
  for (const { metadata } of kept) {
    expect(metadata.annotations).toMatchObject({
      'argocd.argoproj.io/sync-options': 'Prune=false,Delete=false',
      'argocd.argoproj.io/compare-options': 'IgnoreExtraneous',
      'kustomize.toolkit.fluxcd.io/prune': 'disabled',
    });
  }
});

describe('the backup before a sync', () => {
  test('comes after claims and before Redis, with an account of its own that goes afterwards', () => {
    expect(usual.hooks.map(({ kind }) => kind)).toEqual(['ServiceAccount', 'Role', 'RoleBinding', 'NetworkPolicy', 'Job']);
    for (const { metadata } of usual.hooks) {
      expect(metadata.annotations).toMatchObject({
        'argocd.argoproj.io/hook': 'Sync',
        'argocd.argoproj.io/hook-delete-policy': 'BeforeHookCreation,HookSucceeded',
        [WAVE]: '25',
      });
    }
  });

  test('needs no claim, so a studio that is not there yet can have it', () => {
    const { volumes } = find(usual.hooks, 'Job', 'backup-before-sync').spec.template.spec;
    expect(volumes.filter((volume: object) => 'persistentVolumeClaim' in volume)).toEqual([]);
  });

  test('is left out where there is no backup', () => {
    const { argocd, hooks } = gitopsOf(production({ backup: { enabled: false } }));
    expect(hooks).toEqual([]);
    expect(find(argocd, 'Application', 'orfeas-production').spec.sources).toHaveLength(1);
    expect(JSON.stringify(argocd)).not.toContain('"Job"');
  });
});

test('argocd-cm gets the health of kinds alone', () => {
  expect(Object.keys((healthPatch() as { data: object }).data)).toEqual([
    'resource.customizations.health.PersistentVolumeClaim',
    'resource.customizations.health.networking.k8s.io_Ingress',
  ]);
});

describe('settings', () => {
  test.each(['git@git.example.org:orfeas/studio.git', 'ssh://git@git.example.org/studio.git', 'git://git.argocd.svc/studio.git'])(
    '%s is a repository',
    url => expect(settingsOf('local', { gitops: { repository: url } }).gitops.repository).toBe(url),
  );

  test.each(['studio', 'https://operator:token@git.example.org/studio.git', 'file:///srv/studio.git'])('%s is none', url =>
    expect(() => settingsOf('local', { gitops: { repository: url } })).toThrow('not a git repository'),
  );

  test('the placeholder of the repository is a remark, since only Argo CD asks for it', () => {
    const paths = (changes: Partial<SettingsInput>) => remarks(settingsOf('production', changes)).map(({ path }) => path);
    expect(paths({})).toContain('gitops.repository');
    expect(paths({ gitops: { repository } })).not.toContain('gitops.repository');
  });
});
