import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkoutWith, kubectl, namespace } from './support';

const SECRET = 'repository';
/** The repository, where the server keeps it: for S3 the bucket. */
const FOLDER = '/data/backups';

/** A pair of keys, as OpenSSH writes them. */
function keys(): { readonly private: string; readonly public: string } {
  const folder = mkdtempSync(join(tmpdir(), 'orfeas-keys-'));
  try {
    const file = join(folder, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file]);
    return { private: readFileSync(file, 'utf8'), public: readFileSync(`${file}.pub`, 'utf8').trim() };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Server {
  readonly image: string;
  readonly args: readonly string[];
  readonly port: number;
  /** What it reads below /config. */
  readonly files?: Readonly<Record<string, string>>;
  /** Where the studio finds it: `backup.repository`, less the Secret's name. */
  readonly repository: Readonly<Record<string, string | number>>;
  /** What the studio proves itself with: the content of the Secret. */
  readonly credentials: Readonly<Record<string, string>>;
}

const servers = {
  rest: (host: string): Server => {
    const credentials = { username: 'orfeas', password: 'append-and-read' };
    const hash = createHash('sha1').update(credentials.password).digest('base64');
    return {
      image: 'docker.io/restic/rest-server:0.14.0',
      args: ['--htpasswd-file=/config/htpasswd'],
      port: 8000,
      files: { htpasswd: `${credentials.username}:{SHA}${hash}\n` },
      repository: { url: `http://${host}:8000/backups`, credentialsSecret: SECRET },
      credentials,
    };
  },
  s3: (host: string): Server => {
    const credentials = { AWS_ACCESS_KEY_ID: 'orfeas', AWS_SECRET_ACCESS_KEY: 'signs-each-request' };
    return {
      image: 'docker.io/rclone/rclone:1.76.0',
      args: ['serve', 's3', '--addr=:8080', `--auth-key=${Object.values(credentials).join()}`, '/data'],
      port: 8080,
      repository: { endpoint: `http://${host}:8080`, bucket: 'backups', path: 'studio', credentialsSecret: SECRET },
      credentials,
    };
  },
  sftp: (host: string): Server => {
    const [server, client] = [keys(), keys()];
    return {
      image: 'localhost/openssh-server:bookworm',
      // It runs as the one user that it lets in. A volume of a Secret is writable for all, as far as it can see.
      args: ['HostKey=/config/host', 'AuthorizedKeysFile=/config/authorized_keys', 'StrictModes=no', 'UsePAM=no'].flatMap(option => [
        '-o',
        option,
      ]),
      port: 2222,
      files: { host: server.private, authorized_keys: `${client.public}\n` },
      repository: { host, port: 2222, user: 'orfeas', path: FOLDER, keySecret: SECRET },
      credentials: { 'ssh-privatekey': client.private, known_hosts: `[${host}]:2222 ${server.public}\n` },
    };
  },
};

/** A server of repositories in a namespace of its own, and a checkout whose studio has its repository there. */
export class Store {
  readonly folder: string;
  readonly remove: () => Promise<void>;

  private constructor(
    private readonly namespace: string,
    private readonly server: Server,
    at: string,
  ) {
    const repository = JSON.stringify({ at, ...server.repository });
    const { folder, remove } = checkoutWith('config/local.ts', { 'backup: {': `backup: { repository: ${repository},` });
    this.folder = folder;
    this.remove = async () => {
      remove();
      await kubectl(['delete', 'namespace', this.namespace]);
    };
  }

  static async start(at: keyof typeof servers): Promise<Store> {
    const store = `orfeas-backups-${at}`;
    const server = servers[at](`store.${store}.svc`);
    const { image, args, port, files = {} } = server;
    const metadata = { name: 'store', namespace: store, labels: { app: 'store' } };
    const items = [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: store } },
      { apiVersion: 'v1', kind: 'Secret', metadata, stringData: files },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata,
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [
            {
              name: 'store',
              image,
              args,
              readinessProbe: { tcpSocket: { port } },
              volumeMounts: [
                { name: 'data', mountPath: FOLDER },
                { name: 'config', mountPath: '/config' },
              ],
            },
          ],
          volumes: [
            { name: 'data', emptyDir: {} },
            { name: 'config', secret: { secretName: 'store', defaultMode: 0o444 } },
          ],
        },
      },
      { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: metadata.labels, ports: [{ port }] } },
    ];
    await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })));
    await kubectl(['-n', store, 'wait', '--for=condition=Ready', 'pod/store', '--timeout=120s']);
    return new Store(store, server, at);
  }

  /** Gives the studio what it and the server know each other by, or something else. */
  async introduce(other: Readonly<Record<string, string>> = {}): Promise<void> {
    const stringData = { ...this.server.credentials, ...other };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: SECRET, namespace }, stringData };
    await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify(secret)));
  }

  /** Runs a shell command among the files of the repository. */
  run(command: string): Promise<Buffer> {
    return kubectl(['-n', this.namespace, 'exec', 'store', '--', 'sh', '-c', `cd ${FOLDER} && ${command}`]);
  }
}
