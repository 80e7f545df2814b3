import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Testing } from 'cdk8s';
import { SealedSecrets } from '../../constructs/sealed-secrets';
import { StudioChart } from '../../constructs/studio-chart';
import { find, manifestsOf, settingsOf } from '../support';

const external = (remoteKeys: Record<string, string> = {}) =>
  settingsOf('production', { secrets: { mode: 'external-secrets', store: { name: 'vault' }, remoteKeys } });

test('the command makes the Secrets unless the settings say otherwise, and no manifest asks for them', () => {
  const kinds = manifestsOf(settingsOf('production')).map(({ kind }) => kind);
  expect(kinds).not.toContain('ExternalSecret');
  expect(kinds).not.toContain('SealedSecret');
});

describe('external secrets', () => {
  test('copy all that the store has under a key, into the Secret that the pods mount', () => {
    expect(find(manifestsOf(external()), 'ExternalSecret', 'orfeas-redis')).toMatchObject({
      apiVersion: 'external-secrets.io/v1',
      spec: {
        refreshInterval: '5m0s',
        secretStoreRef: { kind: 'ClusterSecretStore', name: 'vault' },
        target: { name: 'orfeas-redis', creationPolicy: 'Orphan', deletionPolicy: 'Retain' },
        dataFrom: [{ extract: { key: 'orfeas/orfeas-redis' } }],
      },
    });
  });
  test('are found under the key that the settings name', () => {
    const { spec } = find(manifestsOf(external({ app: 'teams/studio/session' })), 'ExternalSecret', 'orfeas-app');
    expect(spec.dataFrom).toEqual([{ extract: { key: 'teams/studio/session' } }]);
  });
  test('are those that the studio has a use for', () => {
    const without = settingsOf('production', {
      secrets: { mode: 'external-secrets', store: { name: 'vault', kind: 'SecretStore' } },
      backup: { enabled: false },
    });
    const made = manifestsOf(without).filter(({ kind }) => kind === 'ExternalSecret');
    expect(made.map(({ metadata }) => metadata.name)).toEqual(['orfeas-app', 'orfeas-redis', 'orfeas-grafana']);
    expect(made[0]?.spec.secretStoreRef.kind).toBe('SecretStore');
  });
});

describe('sealed secrets', () => {
  const settings = settingsOf('production', { secrets: { mode: 'sealed-secrets' } });
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sealed-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('that are not there are all named, with the command that makes them', () => {
    expect(() => manifestsOf(settings)).toThrow(/orfeas-app\.yaml.*orfeas-backup\.yaml[\s\S]*orfeas secrets seal --env production/);
  });
  test('are part of the manifests as they are in git', () => {
    for (const name of ['orfeas-app', 'orfeas-redis', 'orfeas-grafana', 'orfeas-backup']) {
      const object = {
        apiVersion: 'bitnami.com/v1alpha1',
        kind: 'SealedSecret',
        metadata: { name },
        spec: { encryptedData: { key: 'AgB' } },
      };
      writeFileSync(join(folder, `${name}.yaml`), JSON.stringify(object));
    }
    const chart = new StudioChart(new App(), 'secrets', {
      namespace: 'orfeas',
      identity: { name: 'orfeas', component: 'secrets', version: '1' },
    });
    new SealedSecrets(chart, 'sealed', { settings, folder });
    const objects = Testing.synth(chart);
    expect(objects).toHaveLength(4);
    expect(objects[1]).toMatchObject({
      kind: 'SealedSecret',
      metadata: { name: 'orfeas-redis', namespace: 'orfeas', labels: { 'app.kubernetes.io/part-of': 'orfeas' } },
      spec: { encryptedData: { key: 'AgB' } },
    });
  });
});
