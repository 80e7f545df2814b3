import type { k8s } from 'cdk8s-plus-28';
import { locationOf, reachOf } from '../config/repository';
import type { Settings } from '../config/schema';
import { secrets } from '../config/secrets';
import { variables } from './backup-cron-job';
import type { Flow, Pods } from './network-policies';

const PASSWORD = '/etc/orfeas-backup';
const SSH = '/etc/orfeas-ssh';
const FOLDER = '/repository';

/** restic runs on all CPUs of its node otherwise, and then waits for most of each period of its limit. */
const PROCESSORS: k8s.EnvVar = { name: 'GOMAXPROCS', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } };

/** What a container needs to open the repository of the backups. */
export interface RepositoryAccess {
  readonly environment: readonly k8s.EnvVar[];
  readonly volumes: readonly k8s.Volume[];
  readonly mounts: readonly k8s.VolumeMount[];
}

function credentials({ backup: { repository } }: Settings): RepositoryAccess {
  const fromSecret = (secret: string, keys: Readonly<Record<string, string>>): RepositoryAccess => ({
    environment: Object.entries(keys).map(([name, key]) => ({ name, valueFrom: { secretKeyRef: { name: secret, key } } })),
    volumes: [],
    mounts: [],
  });
  switch (repository.at) {
    case 's3':
      return fromSecret(repository.credentialsSecret, {
        AWS_ACCESS_KEY_ID: 'AWS_ACCESS_KEY_ID',
        AWS_SECRET_ACCESS_KEY: 'AWS_SECRET_ACCESS_KEY',
      });
    case 'rest':
      return repository.credentialsSecret
        ? fromSecret(repository.credentialsSecret, { RESTIC_REST_USERNAME: 'username', RESTIC_REST_PASSWORD: 'password' })
        : { environment: [], volumes: [], mounts: [] };
    case 'sftp':
      return {
        environment: variables({
          SFTP_ARGS: `-i ${SSH}/ssh-privatekey -o UserKnownHostsFile=${SSH}/known_hosts -o StrictHostKeyChecking=yes -o BatchMode=yes`,
        }),
        volumes: [{ name: 'ssh', secret: { secretName: repository.keySecret, defaultMode: 0o444 } }],
        mounts: [{ name: 'ssh', mountPath: SSH, readOnly: true }],
      };
    default:
      return { environment: [], volumes: [], mounts: [] };
  }
}

/** @param volume the claim backups as the pod mounts it, where the repository is one */
export function repositoryAccess(settings: Settings, volume: k8s.Volume | undefined): RepositoryAccess {
  const { environment, volumes, mounts } = credentials(settings);
  return {
    environment: [
      ...variables({
        RESTIC_REPOSITORY: locationOf(settings.backup.repository, FOLDER),
        RESTIC_PASSWORD_FILE: `${PASSWORD}/${secrets.backup.key}`,
        RESTIC_CACHE_DIR: '/scratch/cache',
      }),
      PROCESSORS,
      ...environment,
    ],
    volumes: [
      // Processes of several users read it.
      { name: 'password', secret: { secretName: secrets.backup.name, defaultMode: 0o444 } },
      ...volumes,
      ...(volume ? [volume] : []),
    ],
    mounts: [
      { name: 'password', mountPath: PASSWORD, readOnly: true },
      ...mounts,
      ...(volume ? [{ name: volume.name, mountPath: FOLDER }] : []),
    ],
  };
}

/** The way to the repository, where it is not a claim. */
export function repositoryFlows({ backup: { repository } }: Settings, from: Pods): Flow[] {
  const reach = repository.at === 'claim' ? undefined : reachOf(repository);
  if (reach === undefined) return [];
  if (reach === 'internet') return [{ from, to: 'internet', why: 'The repository' }];
  const { port, ...to } = reach;
  return [{ from, to: 'addresses' in to ? { name: 'repository', ...to } : to, ports: [port], why: 'The repository' }];
}
