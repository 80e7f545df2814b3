import { BlockList, isIP } from 'node:net';
import { addressOf, serviceOf } from './derive';
import type { RepositorySettings } from './schema';

/** Ranges that no address of the internet is in. */
export const privateRanges = {
  ipv4: ['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'],
  ipv6: ['::1/128', 'fc00::/7', 'fe80::/10'],
} as const;

const privateAddresses = new BlockList();
for (const [family, ranges] of Object.entries(privateRanges)) {
  for (const [network, prefix] of ranges.map(range => range.split('/') as [string, string])) {
    privateAddresses.addSubnet(network, Number(prefix), family as 'ipv4' | 'ipv6');
  }
}

/** Whether a host cannot be on the internet, as far as its name or address tells. */
export function isPrivate(host: string): boolean {
  const address = host.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(address);
  if (family !== 0) return privateAddresses.check(address, family === 4 ? 'ipv4' : 'ipv6');
  return !host.includes('.') || /\.(localhost|local|internal|test)$/.test(host);
}

/** A repository that is not a claim of the cluster. */
export type RemoteRepository = Exclude<RepositorySettings, { at: 'claim' }>;

/** The address of its server, and the setting that names it. */
export function serverOf(repository: RemoteRepository): { readonly url: string; readonly setting: string } {
  switch (repository.at) {
    case 's3':
      return { url: repository.endpoint, setting: 'endpoint' };
    case 'rest':
      return { url: repository.url, setting: 'url' };
    case 'sftp':
      return { url: `sftp://${repository.user}@${repository.host}:${repository.port}/${repository.path}`, setting: 'host' };
  }
}

/** The repository as restic names it; the claim is mounted at a folder. */
export function locationOf(repository: RepositorySettings, folder: string): string {
  switch (repository.at) {
    case 'claim':
      return folder;
    case 's3': {
      const { endpoint, bucket, path } = repository;
      return `s3:${[endpoint.replace(/\/$/, ''), bucket, ...(path ? [path] : [])].join('/')}`;
    }
    case 'rest':
      return `rest:${repository.url}`;
    case 'sftp':
      return serverOf(repository).url;
  }
}

/** What a NetworkPolicy must open to reach a repository. */
export type Reach =
  | 'internet'
  | { readonly namespace: string; readonly port: number }
  | { readonly addresses: readonly string[]; readonly port: number };

/** How its server is reached; undefined when only its addresses could tell, and nobody named them. */
export function reachOf(repository: RemoteRepository): Reach | undefined {
  const { url } = serverOf(repository);
  const { protocol, hostname, port } = new URL(url);
  const number = Number(port || (protocol === 'https:' ? 443 : 80));
  const { addresses } = repository;
  if (addresses) return { addresses, port: number };
  const service = serviceOf(url);
  if (service) return { namespace: addressOf(service).namespace, port: number };
  return protocol === 'https:' && number === 443 && !isPrivate(hostname) ? 'internet' : undefined;
}
