import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dump, loadAll } from 'js-yaml';
import { environmentNames, type SettingsInput } from '../../config';
import type { Manifest } from '../../policy/rules';
import { manifestsOf, settingsOf } from '../support';
import { checkov, type Finding, kubeScore } from './scanners';

/** Parts that no environment has by default. */
const others: Readonly<Record<string, Partial<SettingsInput>>> = {
  parts: {
    monitoring: {
      stack: {
        mode: 'bundled',
        grafana: { access: { by: 'path' } },
        alertmanager: { source: 'bundled', receiverSecret: 'receiver' },
      },
    },
    backup: { readFrom: 'clones', secrets: true },
  },
  gateway: { edge: { dialect: 'gateway-api', implementation: 'nginx-gateway-fabric' } },
};
const EXCEPTION = /^(checkov\.io|kube-score(\.orfeas)?)\//;
const targets = [...environmentNames, ...Object.keys(others)];

const work = mkdtempSync(join(tmpdir(), 'orfeas-scanners-'));
const folders = { asDeployed: join(work, 'as-deployed'), withoutExceptions: join(work, 'without-exceptions') };

const read = (folder: string): Manifest[] =>
  readdirSync(folder)
    .filter(file => file.endsWith('.yaml'))
    .flatMap(file => loadAll(readFileSync(join(folder, file), 'utf8')) as Manifest[]);

function write(folder: string, manifests: readonly Manifest[]): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'all.yaml'), manifests.map(manifest => dump(manifest)).join('---\n'));
}

const bare = (manifest: Manifest): Manifest => ({
  ...manifest,
  metadata: {
    ...manifest.metadata,
    annotations: Object.fromEntries(Object.entries(manifest.metadata.annotations ?? {}).filter(([key]) => !EXCEPTION.test(key))),
  },
});

/** What an object's annotations say is not to be reported, each with a reason. */
function exceptions({ kind, metadata: { name, annotations = {} } }: Manifest): Finding[] {
  const ignored = annotations['kube-score/ignore']?.split(',') ?? [];
  return [
    ...Object.entries(annotations)
      .filter(([key]) => key.startsWith('checkov.io/skip'))
      .map(([, value]): Finding => `checkov ${/^(CKV_K8S_\d+)=\w/.exec(value)?.[1] ?? `without a reason: ${value}`} ${kind}/${name}`),
    ...ignored.map(
      (check): Finding => `kube-score ${annotations[`kube-score.orfeas/${check}`] ? check : `without a reason: ${check}`} ${kind}/${name}`,
    ),
  ];
}

/** Each finding once: checkov repeats one for every container, kube-score as well. */
const unique = (findings: Iterable<Finding>): Finding[] => [...new Set(findings)].sort();

let deployed: Map<string, Finding[]>;
let unexcused: Map<string, Finding[]>;
const manifests: Record<string, Manifest[]> = {};

beforeAll(() => {
  for (const target of targets) {
    manifests[target] = others[target]
      ? manifestsOf(settingsOf('production', others[target]))
      : [`dist/${target}`, `dist/argocd/${target}/hooks`].flatMap(read);
    write(join(folders.asDeployed, target), manifests[target]);
    write(join(folders.withoutExceptions, target), manifests[target].map(bare));
  }
  const scan = (folder: string): Map<string, Finding[]> =>
    new Map([...checkov(folder)].map(([target, found]) => [target, unique([...found, ...kubeScore(join(folder, target))])]));
  deployed = scan(folders.asDeployed);
  unexcused = scan(folders.withoutExceptions);
});
afterAll(() => rmSync(work, { recursive: true }));

describe.each(targets)('%s', target => {
  test('has nothing that checkov or kube-score reports', () => {
    expect(deployed.get(target)).toEqual([]);
  });

  test('has an exception, with its reason, where a scanner would report something, and nowhere else', () => {
    expect(unique((manifests[target] ?? []).flatMap(exceptions))).toEqual(unexcused.get(target));
  });
});

test('few checks have exceptions', () => {
  const checks = new Set(
    [...Object.values(manifests)]
      .flat()
      .flatMap(exceptions)
      .map(finding => finding.split(' ').slice(0, 2).join(' ')),
  );
  expect([...checks].sort()).toEqual([
    'checkov CKV_K8S_15',
    'checkov CKV_K8S_43',
    'kube-score container-image-pull-policy',
    'kube-score deployment-replicas',
    'kube-score deployment-strategy',
    'kube-score networkpolicy-targets-pod',
  ]);
});
