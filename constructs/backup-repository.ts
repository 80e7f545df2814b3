import type { k8s } from 'cdk8s-plus-28';
import { locationOf, reachOf } from '../config/repository';
import type { Settings } from '../config/schema';
import { secrets } from '../config/secrets';
import { variables } from './backup-cron-job';
import type { Flow, Pods } from './network-policies';
import { GROUP_READABLE, secretFolder } from './secret-folder';

const PASSWORD = '/etc/orfeas-backup';
const CREDENTIALS = '/etc/orfeas-repository';
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

const none: RepositoryAccess = { environment: [], volumes: [], mounts: [] };

/** Files that the program hands to restic as the variables of their names: it reads no others. */
function variablesOf(secret: string, items: Readonly<Record<string, string>>, mode: number): RepositoryAccess {
  const { volume, mount } = secretFolder({ secret, items, mountPath: CREDENTIALS, mode });
  return { environment: variables({ REPOSITORY_CREDENTIALS: CREDENTIALS }), volumes: [volume], mounts: [mount] };
}

function credentials({ backup: { repository } }: Settings, mode: number): RepositoryAccess {
  switch (repository.at) {
    case 's3':
      return variablesOf(
        repository.credentialsSecret,
        { AWS_ACCESS_KEY_ID: 'AWS_ACCESS_KEY_ID', AWS_SECRET_ACCESS_KEY: 'AWS_SECRET_ACCESS_KEY' },
        mode,
      );
    case 'rest':
      return repository.credentialsSecret
        ? variablesOf(repository.credentialsSecret, { username: 'RESTIC_REST_USERNAME', password: 'RESTIC_REST_PASSWORD' }, mode)
        : none;
    case 'sftp': {
      const { volume, mount } = secretFolder({ secret: repository.keySecret, mountPath: SSH, mode });
      return {
        environment: variables({
          SFTP_ARGS: `-i ${SSH}/ssh-privatekey -o UserKnownHostsFile=${SSH}/known_hosts -o StrictHostKeyChecking=yes -o BatchMode=yes`,
        }),
        volumes: [volume],
        mounts: [mount],
      };
    }
    default:
      return none;
  }
}

/**
 * @param volume the claim backups as the pod mounts it, where the repository is one
 * @param mode of the files of Secrets
 */
export function repositoryAccess(settings: Settings, volume: k8s.Volume | undefined, mode: number = GROUP_READABLE): RepositoryAccess {
  const { environment, volumes, mounts } = credentials(settings, mode);
  const password = secretFolder({ secret: secrets.backup.name, mountPath: PASSWORD, mode });
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
    volumes: [password.volume, ...volumes, ...(volume ? [volume] : [])],
    mounts: [password.mount, ...mounts, ...(volume ? [{ name: volume.name, mountPath: FOLDER }] : [])],
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
