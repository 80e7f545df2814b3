import type { SettingsInput } from '../../config';
import { imageBuild } from '../../config/images';
import { operatorSecrets } from '../../config/secrets';
import { find, manifestsOf, settingsOf } from '../support';

type Changes = Partial<SettingsInput>;
const production = (changes: Changes = {}) => manifestsOf(settingsOf('production', changes));
const jobOf = (manifests: ReturnType<typeof production>, name: string) => find(manifests, 'CronJob', name).spec.jobTemplate.spec;
const podOf = (manifests: ReturnType<typeof production>, name: string) => jobOf(manifests, name).template.spec;
// biome-ignore lint/suspicious/noExplicitAny: a rendered container
const environmentOf = ({ env }: any): Record<string, string> =>
  Object.fromEntries(
    // biome-ignore lint/suspicious/noExplicitAny: a rendered variable
    env.map(({ name, value, valueFrom }: any) => [name, value ?? valueFrom.resourceFieldRef.resource]),
  );
/** Of each Secret that a pod mounts, the keys by the names of their files; none where all are. */
// biome-ignore lint/suspicious/noExplicitAny: a rendered pod
const filesOf = ({ volumes }: any): Record<string, Record<string, string>> =>
  Object.fromEntries(
    volumes
      // biome-ignore lint/suspicious/noExplicitAny: a rendered volume
      .filter(({ secret }: any) => secret)
      // biome-ignore lint/suspicious/noExplicitAny: a rendered volume
      .map(({ secret: { secretName, items = [] } }: any) => [
        secretName,
        Object.fromEntries(items.map(({ key, path }: { key: string; path: string }) => [path, key])),
      ]),
  );
// biome-ignore lint/suspicious/noExplicitAny: a rendered pod
const claimsOf = ({ volumes }: any): Record<string, boolean> =>
  Object.fromEntries(
    volumes
      .filter(({ persistentVolumeClaim }: { persistentVolumeClaim?: object }) => persistentVolumeClaim)
      .map(
        ({
          persistentVolumeClaim: { claimName, readOnly = false },
        }: {
          persistentVolumeClaim: { claimName: string; readOnly?: boolean };
        }) => [claimName, readOnly],
      ),
  );
const namesOf = (list: readonly { name: string }[] = []) => list.map(({ name }) => name);
const policiesOf = (manifests: ReturnType<typeof production>, name: string) =>
  manifests.filter(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name.startsWith(`${name}-to-`));
const all = ['backup', 'backup-verify', 'backup-repository', 'backup-import', 'restore'];

const usual = production();

describe('when it runs', () => {
  test('each day at three, in a time zone of choice, even if the start was missed for hours', () => {
    expect(find(usual, 'CronJob', 'backup').spec).toMatchObject({
      schedule: '0 3 * * *',
      timeZone: 'Etc/UTC',
      suspend: false,
      concurrencyPolicy: 'Forbid',
      startingDeadlineSeconds: 6 * 3600,
    });
    const zoned = production({ backup: { timeZone: 'Europe/Vienna' } });
    expect(find(zoned, 'CronJob', 'backup').spec.timeZone).toBe('Europe/Vienna');
  });
  test('the verification each week', () => {
    expect(find(usual, 'CronJob', 'backup-verify').spec).toMatchObject({ schedule: '0 5 * * 0', suspend: false });
  });
  test('a verification goes an hour after its end, and its volume with it, of which the quota counts one', () => {
    expect(jobOf(usual, 'backup-verify').ttlSecondsAfterFinished).toBe(3600);
  });
  test.each(['backup-repository', 'backup-import', 'restore'])('%s never by itself, and its Jobs go an hour after their end', name => {
    expect(find(usual, 'CronJob', name).spec.suspend).toBe(true);
    expect(jobOf(usual, name).ttlSecondsAfterFinished).toBe(3600);
  });
  test('a restore that was cut off goes on; a look into the repository is not repeated', () => {
    expect(podOf(usual, 'restore').restartPolicy).toBe('OnFailure');
    expect(jobOf(usual, 'restore')).not.toHaveProperty('activeDeadlineSeconds');
    expect(jobOf(usual, 'backup-repository').backoffLimit).toBe(0);
  });
  test('never where backups are off, which needs no claim then either', () => {
    const off = production({ backup: { enabled: false } });
    expect(off.filter(({ kind }) => kind === 'CronJob')).toEqual([]);
    expect(() => find(off, 'PersistentVolumeClaim', 'backups')).toThrow();
    expect(JSON.stringify(find(off, 'StatefulSet', 'prometheus'))).not.toContain('admin-api');
  });
});

describe('what is in a backup', () => {
  const partsOf = (changes: Changes) => environmentOf(podOf(production(changes), 'backup').containers[0]).BACKUP_PARTS;
  test.each<[string, Changes, string]>([
    ['all', {}, 'outputs,logs,models,monitoring,redis,configuration'],
    ['no models', { backup: { models: false } }, 'outputs,logs,monitoring,redis,configuration'],
    ['no metrics', { backup: { monitoring: false } }, 'outputs,logs,models,redis,configuration'],
    ['the cluster has Prometheus', { monitoring: { stack: { mode: 'operator' } } }, 'outputs,logs,models,redis,configuration'],
  ])('%s', (_, changes, parts) => {
    expect(partsOf(changes)).toBe(parts);
  });
  test('only what it takes is mounted, read-only, and never changes hands', () => {
    const claims = { outputs: true, backups: false };
    expect(claimsOf(podOf(production({ backup: { models: false, monitoring: false } }), 'backup'))).toEqual(claims);
    expect(claimsOf(podOf(usual, 'backup'))).toEqual({
      ...claims,
      'huggingface-cache': true,
      'hy3dgen-cache': true,
      'grafana-data': true,
      'prometheus-data': false,
    });
    expect(claimsOf(podOf(usual, 'backup-verify'))).toEqual(claims);
  });
  test('files that only the group of their owner may read can be read', () => {
    expect(podOf(usual, 'backup').securityContext.supplementalGroups).toEqual(expect.arrayContaining([10001, 10007]));
    expect(podOf(usual, 'backup-verify').securityContext.supplementalGroups).toEqual([10001]);
  });
  test('every claim of the studio is in a backup or can be restored, but for backups and silences', () => {
    const claims = usual.filter(({ kind }) => kind === 'PersistentVolumeClaim').map(({ metadata }) => metadata.name);
    expect(Object.keys(claimsOf(podOf(usual, 'restore'))).sort()).toEqual(claims.sort());
  });
  test('logs outlive their pod, each in a folder of its own', () => {
    const { containers, volumes } = find(usual, 'Deployment', 'backend').spec.template.spec;
    for (const { volumeMounts } of containers) {
      expect(volumeMounts).toContainEqual({ name: 'outputs', mountPath: '/app/logs', subPath: 'logs' });
    }
    expect(namesOf(volumes)).not.toContain('logs');
  });
});

describe("Prometheus' data", () => {
  const [sidecar] = podOf(usual, 'backup').initContainers;
  test('come from a snapshot that a process of its own user makes before the archive is made', () => {
    expect(sidecar).toMatchObject({
      name: 'metrics-snapshot',
      restartPolicy: 'Always',
      securityContext: { runAsUser: 10004, runAsGroup: 10004 },
      startupProbe: { exec: { command: ['test', '-e', '/scratch/metrics-snapshot'] } },
    });
    expect(environmentOf(sidecar).PROMETHEUS_URL).toBe('http://prometheus:9090');
    expect(find(usual, 'StatefulSet', 'prometheus').spec.template.spec.containers[0].args).toContain('--web.enable-admin-api');
  });
  test('alone are writable, to that process alone', () => {
    expect(sidecar.volumeMounts).toContainEqual({ name: 'prometheus-data', mountPath: '/volumes/prometheus-data' });
    expect(podOf(usual, 'backup').containers[0].volumeMounts).toContainEqual({
      name: 'prometheus-data',
      mountPath: '/volumes/prometheus-data',
      readOnly: true,
    });
  });
  test('are of one group in both pods that mount them', () => {
    const { fsGroup } = podOf(usual, 'backup').securityContext;
    expect(find(usual, 'StatefulSet', 'prometheus').spec.template.spec.securityContext).toMatchObject({ runAsUser: 10004, fsGroup });
  });
  test('are left alone where they are not backed up', () => {
    const manifests = production({ backup: { monitoring: false } });
    expect(podOf(manifests, 'backup')).not.toHaveProperty('initContainers');
    const { containers, securityContext } = find(manifests, 'StatefulSet', 'prometheus').spec.template.spec;
    expect(containers[0].args).not.toContain('--web.enable-admin-api');
    expect(securityContext.fsGroup).toBe(10004);
  });
});

describe('of clones', () => {
  const manifests = production({ backup: { readFrom: 'clones' } });
  const pod = podOf(manifests, 'backup');
  interface Clone {
    readonly name: string;
    readonly ephemeral?: { readonly volumeClaimTemplate: { readonly spec: object } };
  }
  const clonesOf = ({ volumes }: { volumes: Clone[] }) =>
    volumes.flatMap(({ name, ephemeral }) => (ephemeral ? [{ name, ephemeral }] : []));
  const specs = (of: typeof pod) =>
    Object.fromEntries(clonesOf(of).map(({ name, ephemeral }) => [name, ephemeral.volumeClaimTemplate.spec]));

  test('each volume is a copy of its own, where the volume itself would be, and cannot be written', () => {
    expect(Object.keys(specs(pod))).toEqual(['outputs', 'huggingface-cache', 'hy3dgen-cache', 'prometheus-data', 'grafana-data']);
    expect(claimsOf(pod)).toEqual({ backups: false });
    for (const { name } of clonesOf(pod)) {
      expect(pod.containers[0].volumeMounts).toContainEqual({ name, mountPath: `/volumes/${name}`, readOnly: true });
    }
    expect(environmentOf(pod.containers[0]).BACKUP_READ_FROM).toBe('clones');
    expect(environmentOf(podOf(usual, 'backup').containers[0])).not.toHaveProperty('BACKUP_READ_FROM');
  });
  test('it is of the class and the size of what it copies', () => {
    const { outputs } = settingsOf('production').storage;
    const dataSource = { kind: 'PersistentVolumeClaim', name: 'outputs' };
    const usual = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: `${outputs.gibibytes}Gi` } }, dataSource };
    expect(specs(pod).outputs).toEqual(usual);
    const shared = production({
      backup: { readFrom: 'clones' },
      storage: { outputs: { storageClass: 'ceph', accessMode: 'ReadWriteMany' } },
    });
    expect(specs(podOf(shared, 'backup')).outputs).toEqual({ ...usual, storageClassName: 'ceph' });
  });
  test('only what the backup takes is copied', () => {
    const least = production({ backup: { readFrom: 'clones', models: false, monitoring: false } });
    expect(Object.keys(specs(podOf(least, 'backup')))).toEqual(['outputs']);
  });
  test('it runs on any node that has its repository, and beside nobody', () => {
    const elsewhere = { at: 'rest', url: 'https://backup.example.org/' } as const;
    expect(pod).not.toHaveProperty('affinity');
    expect(pod.tolerations).toEqual(podOf(usual, 'backup-repository').tolerations);
    expect(podOf(production({ backup: { readFrom: 'clones', repository: elsewhere } }), 'backup')).not.toHaveProperty('tolerations');
  });
  test('Prometheus is asked for nothing, can be asked for no snapshot, and its volume is its own', () => {
    expect(pod).not.toHaveProperty('initContainers');
    expect(namesOf(policiesOf(manifests, 'backup').map(({ metadata }) => metadata))).toEqual(
      namesOf(policiesOf(usual, 'backup').map(({ metadata }) => metadata)).filter(name => name !== 'backup-to-prometheus'),
    );
    const { containers, securityContext } = find(manifests, 'StatefulSet', 'prometheus').spec.template.spec;
    expect(containers[0].args).not.toContain('--web.enable-admin-api');
    expect(securityContext.fsGroup).toBe(10004);
    for (const [kind, name] of [
      ['StatefulSet', 'prometheus'],
      ['Deployment', 'grafana'],
    ] as const) {
      expect(find(manifests, kind, name).spec.template.spec).not.toHaveProperty('affinity');
    }
    expect(environmentOf(pod.containers[0]).BACKUP_PARTS).toContain('monitoring');
  });
  test('the quota counts the copies beside what they are of', () => {
    const hard = (of: typeof manifests) => find(of, 'ResourceQuota', 'orfeas').spec.hard;
    const { outputs, huggingfaceCache, hy3dgenCache, prometheusData, grafanaData } = settingsOf('production').storage;
    const copied = [outputs, huggingfaceCache, hy3dgenCache, prometheusData, grafanaData];
    const more = (name: string) => Number.parseInt(hard(manifests)[name], 10) - Number.parseInt(hard(usual)[name], 10);
    expect(more('persistentvolumeclaims')).toBe(copied.length);
    expect(more('requests.storage')).toBe(copied.reduce((total, { gibibytes }) => total + gibibytes, 0));
  });
  test('a pod that fails tries again with those that it has, and they go soon after the end', () => {
    expect(pod.restartPolicy).toBe('OnFailure');
    expect(jobOf(manifests, 'backup').ttlSecondsAfterFinished).toBe(120);
    expect(podOf(usual, 'backup').restartPolicy).toBe('Never');
    expect(jobOf(usual, 'backup')).not.toHaveProperty('ttlSecondsAfterFinished');
  });
  test('a verification compares with the volumes themselves', () => {
    expect(podOf(manifests, 'backup-verify')).toEqual(podOf(usual, 'backup-verify'));
  });
});

describe('volumes that one node alone can mount', () => {
  interface Term {
    readonly labelSelector: { readonly matchLabels: Readonly<Record<string, string>> };
  }
  const nameOf = ({ labelSelector }: Term) => labelSelector.matchLabels['app.kubernetes.io/name'];
  const required = (pod: ReturnType<typeof podOf>) => pod.affinity?.podAffinity.requiredDuringSchedulingIgnoredDuringExecution.map(nameOf);
  const preferred = (pod: ReturnType<typeof podOf>) =>
    pod.affinity?.podAffinity.preferredDuringSchedulingIgnoredDuringExecution?.map(({ podAffinityTerm }: { podAffinityTerm: Term }) =>
      nameOf(podAffinityTerm),
    );
  const gpuNodes = [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }];

  test('a backup runs on the node of those that hold them, be it a GPU node', () => {
    // One term alone: a pod must match each of them to count.
    expect(required(podOf(usual, 'backup'))).toEqual(['backend']);
    expect(preferred(podOf(usual, 'backup'))).toEqual(['prometheus', 'grafana']);
    expect(required(podOf(usual, 'backup-verify'))).toEqual(['backend']);
    for (const name of all) expect(podOf(usual, name).tolerations).toEqual(gpuNodes);
  });
  test('so Prometheus and Grafana prefer the node of the backend', () => {
    for (const [kind, name] of [
      ['StatefulSet', 'prometheus'],
      ['Deployment', 'grafana'],
    ] as const) {
      const { affinity, tolerations } = find(usual, kind, name).spec.template.spec;
      const [{ weight, podAffinityTerm }] = affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution;
      expect(weight).toBe(100);
      expect(podAffinityTerm.labelSelector.matchLabels['app.kubernetes.io/name']).toBe('backend');
      expect(tolerations).toEqual(gpuNodes);
    }
  });
  test('one whose data do not go into the backup holds nothing', () => {
    const manifests = production({ backup: { monitoring: false } });
    expect(required(podOf(manifests, 'backup'))).toEqual(['backend']);
    expect(preferred(podOf(manifests, 'backup'))).toBeUndefined();
    expect(find(manifests, 'Deployment', 'grafana').spec.template.spec).not.toHaveProperty('affinity');
  });
  test('volumes that several nodes can mount bind nobody', () => {
    const shared = { accessMode: 'ReadWriteMany' } as const;
    const names = ['huggingfaceCache', 'hy3dgenCache', 'outputs', 'redisData', 'prometheusData', 'grafanaData', 'backups'];
    const manifests = production({ storage: Object.fromEntries(names.map(name => [name, shared])) });
    for (const name of all) {
      expect(podOf(manifests, name)).not.toHaveProperty('affinity');
      expect(podOf(manifests, name)).not.toHaveProperty('tolerations');
    }
    expect(find(manifests, 'StatefulSet', 'prometheus').spec.template.spec).not.toHaveProperty('affinity');
  });
});

describe('rights', () => {
  test('the archive alone has a token, and may only look', () => {
    const { rules } = find(usual, 'Role', 'backup');
    expect(rules.flatMap(({ verbs }: { verbs: string[] }) => verbs)).toEqual(rules.flatMap(() => ['get', 'list']));
    expect(rules.flatMap(({ resources }: { resources: string[] }) => resources)).not.toContain('secrets');
    expect(namesOf(podOf(usual, 'backup').containers[0].volumeMounts)).toContain('service-account');
    for (const name of all.slice(1)) expect(podOf(usual, name)).not.toHaveProperty('serviceAccountName');
  });
  test("Secrets are read where they are asked for, the studio's own by name, and never what opens the backup", () => {
    const manifests = production({
      backup: {
        secrets: true,
        repository: { at: 's3', endpoint: 'https://s3.example.org', bucket: 'backups', credentialsSecret: 'bucket' },
      },
    });
    const names = ['orfeas-app', 'orfeas-redis', 'orfeas-grafana', 'orfeas-tls'];
    expect(find(manifests, 'Role', 'backup').rules).toContainEqual({
      apiGroups: [''],
      resources: ['secrets'],
      resourceNames: names,
      verbs: ['get'],
    });
    expect(environmentOf(podOf(manifests, 'backup').containers[0]).BACKUP_SECRETS).toBe(names.join(','));
    expect(environmentOf(podOf(usual, 'backup').containers[0])).not.toHaveProperty('BACKUP_SECRETS');
  });
});

describe('the repository', () => {
  const backedUpTo = (repository: NonNullable<SettingsInput['backup']>['repository']): Changes => ({ backup: { repository } });
  const s3 = backedUpTo({ at: 's3', endpoint: 'https://s3.example.org/', bucket: 'backups', path: 'studio', credentialsSecret: 'bucket' });
  const rest = backedUpTo({ at: 'rest', url: 'http://rest-server.storage.svc:8000/studio/', credentialsSecret: 'rest-server' });
  const sftp = backedUpTo({
    at: 'sftp',
    host: 'nas.example.org',
    port: 2222,
    user: 'backup',
    path: '/srv/studio',
    keySecret: 'nas',
    addresses: ['192.0.2.10/32', '2001:db8::10/128'],
  });

  test('is the claim backups by default, which a restore cannot change', () => {
    for (const name of ['backup', 'backup-verify', 'backup-repository', 'backup-import']) {
      expect(claimsOf(podOf(usual, name)).backups).toBe(false);
      expect(environmentOf(podOf(usual, name).containers[0]).RESTIC_REPOSITORY).toBe('/repository');
    }
    expect(claimsOf(podOf(usual, 'restore')).backups).toBe(true);
    expect(podOf(usual, 'restore').securityContext.supplementalGroups).toEqual([10006]);
  });
  test('what looks into a claim, or restores from it, has no way to anything', () => {
    expect(policiesOf(usual, 'backup-repository')).toEqual([]);
    expect(policiesOf(usual, 'backup-import')).toEqual([]);
    expect(policiesOf(usual, 'restore')).toEqual([]);
  });

  test.each<[string, Changes, string, string, object, object]>([
    [
      'a bucket',
      s3,
      's3:https://s3.example.org/backups/studio',
      'internet',
      { REPOSITORY_CREDENTIALS: '/etc/orfeas-repository' },
      { bucket: { AWS_ACCESS_KEY_ID: 'AWS_ACCESS_KEY_ID', AWS_SECRET_ACCESS_KEY: 'AWS_SECRET_ACCESS_KEY' } },
    ],
    [
      'a rest-server of the cluster',
      rest,
      'rest:http://rest-server.storage.svc:8000/studio/',
      'storage-8000',
      { REPOSITORY_CREDENTIALS: '/etc/orfeas-repository' },
      { 'rest-server': { RESTIC_REST_USERNAME: 'username', RESTIC_REST_PASSWORD: 'password' } },
    ],
    [
      'a server with SFTP',
      sftp,
      'sftp://backup@nas.example.org:2222//srv/studio',
      'repository',
      { SFTP_ARGS: expect.stringContaining('StrictHostKeyChecking=yes') },
      { nas: {} },
    ],
  ])('%s is named, opened and reached by all, and no claim is made', (_, changes, location, policy, environment, files) => {
    const manifests = production(changes);
    expect(() => find(manifests, 'PersistentVolumeClaim', 'backups')).toThrow();
    for (const name of all) {
      const pod = podOf(manifests, name);
      expect(Object.keys(claimsOf(pod))).not.toContain('backups');
      expect(filesOf(pod)).toMatchObject({ 'orfeas-backup': {}, ...files });
      for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
        // What holds a snapshot, or only renames, has no business with it.
        const opens = !/^(metrics-snapshot|commit-.*)$/.test(container.name);
        const variables = environmentOf(container);
        if (opens) expect(variables).toMatchObject({ RESTIC_REPOSITORY: location, ...environment });
        else expect(variables).not.toHaveProperty('RESTIC_REPOSITORY');
      }
      expect(policiesOf(manifests, name).map(({ metadata }) => metadata.name)).toEqual(
        expect.arrayContaining([`${name}-to-dns`, `${name}-to-${policy}`]),
      );
    }
  });
  test('with addresses of its own is reached there, and nowhere else', () => {
    const [policy] = policiesOf(production(sftp), 'restore').filter(({ metadata }) => metadata.name === 'restore-to-repository');
    expect(policy?.spec.egress).toEqual([
      {
        to: [{ ipBlock: { cidr: '192.0.2.10/32' } }, { ipBlock: { cidr: '2001:db8::10/128' } }],
        ports: [{ protocol: 'TCP', port: 2222 }],
      },
    ]);
  });
  test('the keys that its Secret must have are known before a deployment', () => {
    const secretsOf = (changes: Changes) => operatorSecrets(settingsOf('production', changes)).map(({ name, keys }) => [name, ...keys]);
    expect(secretsOf(s3)).toEqual([['bucket', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']]);
    expect(secretsOf(rest)).toEqual([['rest-server', 'username', 'password']]);
    expect(secretsOf(sftp)).toEqual([['nas', 'ssh-privatekey', 'known_hosts']]);
    expect(secretsOf({})).toEqual([]);
    expect(secretsOf({ backup: { ...s3.backup, enabled: false } })).toEqual([]);
  });
});

describe('a restore', () => {
  const pod = podOf(usual, 'restore');
  const owners = [
    ['backend', 10001, ['outputs', 'huggingface-cache', 'hy3dgen-cache']],
    ['prometheus', 10004, ['prometheus-data']],
    ['grafana', 10007, ['grafana-data']],
    ['redis', 10003, ['redis-data']],
  ] as const;
  test.each(owners)('writes as %s what is its own, and nothing else', (owner, uid, claims) => {
    for (const step of ['stage', 'commit']) {
      const [container] = pod[step === 'stage' ? 'initContainers' : 'containers'].filter(
        ({ name }: { name: string }) => name === `${step}-${owner}`,
      );
      expect(container).toMatchObject({ args: [step], securityContext: { runAsUser: uid, runAsGroup: uid } });
      const mounts: { name: string; mountPath: string }[] = container.volumeMounts;
      expect(namesOf(mounts.filter(({ mountPath }) => mountPath.startsWith('/volumes/')))).toEqual(claims);
    }
  });
  test('nothing is exchanged before all is there', () => {
    expect(namesOf(pod.initContainers)).toEqual(owners.map(([owner]) => `stage-${owner}`));
    expect(namesOf(pod.containers)).toEqual(owners.map(([owner]) => `commit-${owner}`));
  });
  test('gives no volume to another owner', () => {
    expect(pod.securityContext).not.toHaveProperty('fsGroup');
  });
  test('leaves out owners that the studio does not have', () => {
    const manifests = production({ monitoring: { stack: { mode: 'operator' } } });
    expect(namesOf(podOf(manifests, 'restore').containers)).toEqual(['commit-backend', 'commit-redis']);
  });
});

const scratchOf = (name: string): string =>
  podOf(usual, name).volumes.find(({ name }: { name: string }) => name === 'scratch').ephemeral.volumeClaimTemplate.spec.resources.requests
    .storage;

test('a verification has room for a backup without the models', () => {
  // outputs, redis-data, prometheus-data and grafana-data
  expect(scratchOf('backup-verify')).toBe(`${20 + 5 + 10 + 2}Gi`);
});

test('a backup that comes as a zip has room to be unpacked, with the models, which the quota counts', () => {
  const { huggingfaceCache, hy3dgenCache } = settingsOf('production').storage;
  expect(scratchOf('backup-import')).toBe(`${20 + 5 + 10 + 2 + huggingfaceCache.gibibytes + hy3dgenCache.gibibytes}Gi`);
  const claims = usual.filter(({ kind }) => kind === 'PersistentVolumeClaim');
  const { hard } = find(usual, 'ResourceQuota', 'orfeas').spec;
  expect(Number(hard.persistentvolumeclaims)).toBe(claims.length + 2);
});

test('a dump of all that Redis may hold fits into the scratch space', () => {
  const { sizeLimit } = podOf(usual, 'backup').volumes.find(({ name }: { name: string }) => name === 'scratch').emptyDir;
  expect(sizeLimit).toBe('3Gi');
});

test('the image takes restic from the image that is pinned, which no pod runs', () => {
  const settings = settingsOf('production');
  expect(imageBuild(settings, 'backup').buildArgs.RESTIC_IMAGE).toMatch(/^docker\.io\/restic\/restic:[\d.]+@sha256:[0-9a-f]{64}$/);
  expect(JSON.stringify(usual)).not.toContain('restic/restic');
});
