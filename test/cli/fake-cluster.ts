import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node';
import { type WebSocket, WebSocketServer } from 'ws';
import { Cluster, type PatchOperation } from '../../cli/cluster';
import type { KubernetesObject } from '../../cli/objects';

interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

const kind = (apiVersion: string, name: string, plural: string, namespaced = true): Kind => ({
  apiVersion,
  kind: name,
  plural,
  namespaced,
});

const KINDS: readonly Kind[] = [
  kind('v1', 'Namespace', 'namespaces', false),
  kind('v1', 'Node', 'nodes', false),
  kind('v1', 'ConfigMap', 'configmaps'),
  kind('v1', 'Secret', 'secrets'),
  kind('v1', 'Service', 'services'),
  kind('v1', 'ServiceAccount', 'serviceaccounts'),
  kind('v1', 'Endpoints', 'endpoints'),
  kind('v1', 'Pod', 'pods'),
  kind('v1', 'Event', 'events'),
  kind('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims'),
  kind('apps/v1', 'Deployment', 'deployments'),
  kind('apps/v1', 'StatefulSet', 'statefulsets'),
  kind('apps/v1', 'ControllerRevision', 'controllerrevisions'),
  kind('batch/v1', 'CronJob', 'cronjobs'),
  kind('batch/v1', 'Job', 'jobs'),
  kind('v1', 'ResourceQuota', 'resourcequotas'),
  kind('v1', 'LimitRange', 'limitranges'),
  kind('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets'),
  kind('traefik.io/v1alpha1', 'Middleware', 'middlewares'),
  kind('traefik.io/v1alpha1', 'TLSOption', 'tlsoptions'),
  kind('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies'),
  kind('networking.k8s.io/v1', 'Ingress', 'ingresses'),
  kind('networking.k8s.io/v1', 'IngressClass', 'ingressclasses', false),
  kind('gateway.networking.k8s.io/v1', 'Gateway', 'gateways'),
  kind('gateway.networking.k8s.io/v1', 'GatewayClass', 'gatewayclasses', false),
  kind('rbac.authorization.k8s.io/v1', 'Role', 'roles'),
  kind('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings'),
  kind('external-secrets.io/v1', 'ExternalSecret', 'externalsecrets'),
  kind('bitnami.com/v1alpha1', 'SealedSecret', 'sealedsecrets'),
  kind('storage.k8s.io/v1', 'StorageClass', 'storageclasses', false),
];

const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

type Plain = Record<string, unknown>;
const isPlain = (value: unknown): value is Plain => typeof value === 'object' && value !== null && !Array.isArray(value);

function merged(target: unknown, patch: unknown): unknown {
  if (!isPlain(target) || !isPlain(patch)) return patch;
  const result: Plain = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

/** A JSON patch of tests and removals; `undefined` when a test fails. */
function patched(target: KubernetesObject, operations: readonly PatchOperation[]): KubernetesObject | undefined {
  const copy = JSON.parse(JSON.stringify(target));
  for (const operation of operations) {
    const keys = operation.path
      .split('/')
      .slice(1)
      .map(key => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() ?? '';
    const parent = keys.reduce<unknown>((value, key) => (value as Plain)[key], copy) as Plain;
    if (operation.op === 'test' && !isDeepStrictEqual(parent[last], operation.value)) return undefined;
    if (operation.op === 'remove' && Array.isArray(parent)) parent.splice(Number(last), 1);
    else if (operation.op === 'remove') delete parent[last];
  }
  return copy;
}

/** A small API server in memory: discovery, reading, server-side apply, merge and JSON patches, dry runs, optimistic locks, logs, and port-forwards. */
export class FakeCluster {
  readonly objects = new Map<string, KubernetesObject>();
  /** Requests that change something, as `PATCH /apis/…?fieldManager=…`. */
  readonly writes: string[] = [];
  /** Answers a request in the server's place. */
  intercept: (method: string, path: string) => { status: number; body: unknown } | undefined = () => undefined;
  /** Whether controllers are at work: a workload that is applied runs at once. */
  controllers = false;
  /** Ports of this machine that stand for those of pods, by `<pod>:<port>`. */
  readonly ports = new Map<string, number>();
  /** Lines that containers wrote, by `<pod>/<container>`. */
  readonly logs = new Map<string, string[]>();
  /** What a command in a container of a pod prints. */
  exec: (pod: string, command: readonly string[]) => string = () => '';
  /** Told of each object that a client made. */
  onCreate: (object: KubernetesObject) => void = () => {};
  private version = 1;
  private readonly server: Server;

  private constructor() {
    this.server = createServer((request, response) => {
      void this.answer(request).then(({ status, body }) => {
        response.writeHead(status, { ...{ 'content-type': 'application/json' }, ...(status === 429 && { 'retry-after': '0' }) });
        response.end(typeof body === 'string' ? body : JSON.stringify(body));
      });
    });
    const channels = new WebSocketServer({ noServer: true, handleProtocols: () => 'v4.channel.k8s.io' });
    this.server.on('upgrade', (request, socket, head) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://fake');
      const refusal = this.intercept('GET', pathname);
      if (refusal) {
        socket.end(`HTTP/1.1 ${refusal.status} Refused\r\nContent-Length: 0\r\n\r\n`);
        return;
      }
      const [, pod] = /\/pods\/([^/]+)\/portforward$/.exec(pathname) ?? [];
      const [, executing] = /\/pods\/([^/]+)\/exec$/.exec(pathname) ?? [];
      channels.handleUpgrade(request, socket, head, channel => {
        if (executing) this.execute(channel, executing, searchParams.getAll('command'));
        else this.forward(channel, `${pod}:${searchParams.get('ports')}`);
      });
    });
  }

  static async start(): Promise<FakeCluster> {
    const fake = new FakeCluster();
    await new Promise<void>(resolve => fake.server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  /** One that a studio can be deployed to: with controllers, an ingress class and a default storage class. */
  static async startComplete(): Promise<FakeCluster> {
    const cluster = await FakeCluster.start();
    cluster.controllers = true;
    cluster.put({ apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'traefik' } });
    const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' };
    cluster.put({ apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name: 'standard', annotations } });
    return cluster;
  }

  stop(): Promise<void> {
    return new Promise(resolve => this.server.close(() => resolve()));
  }

  get kubeconfig(): string {
    return JSON.stringify({
      clusters: [
        {
          name: 'fake',
          cluster: { server: `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`, 'insecure-skip-tls-verify': true },
        },
      ],
      users: [{ name: 'fake', user: {} }],
      contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'fake' } }],
      'current-context': 'fake',
    });
  }

  connect(): Cluster {
    const config = new KubeConfig();
    config.loadFromString(this.kubeconfig);
    return new Cluster(config);
  }

  /** Each message starts with its stream: 1 for output, 3 for how the command ended. */
  private execute(channel: WebSocket, pod: string, command: readonly string[]): void {
    channel.send(Buffer.concat([Buffer.of(1), Buffer.from(this.exec(pod, command))]));
    channel.send(Buffer.concat([Buffer.of(3), Buffer.from(JSON.stringify({ status: 'Success' }))]));
    channel.close();
  }

  /** Each message starts with its stream, 0 for data and 1 for errors; each stream starts with two bytes for the port. */
  private forward(channel: WebSocket, target: string): void {
    const [data, error] = [0, 1];
    const send = (stream: number, bytes: Buffer | string) => channel.send(Buffer.concat([Buffer.of(stream), Buffer.from(bytes)]));
    for (const stream of [data, error]) send(stream, Buffer.alloc(2));
    const port = this.ports.get(target);
    if (port === undefined) {
      send(error, 'connection refused');
      channel.close();
      return;
    }
    const connection = connect(port, '127.0.0.1');
    connection.on('data', bytes => send(data, bytes));
    connection.on('close', () => channel.close());
    channel.on('message', (message: Buffer) => connection.write(message.subarray(1)));
    channel.on('close', () => connection.destroy());
  }

  /** Puts an object there, as somebody else would. */
  put(object: KubernetesObject): void {
    const { metadata } = object;
    const type = KINDS.find(({ apiVersion, kind: name }) => apiVersion === object.apiVersion && name === object.kind) as Kind;
    this.store(this.pathOf(type, metadata.namespace, metadata.name), object);
  }

  find<T = KubernetesObject>(kindName: string, name: string): T | undefined {
    return [...this.objects.values()].find(object => object.kind === kindName && object.metadata.name === name) as T | undefined;
  }

  private pathOf({ apiVersion, plural, namespaced }: Kind, namespace: string | undefined, name?: string): string {
    const root = `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}`;
    return [root, ...(namespaced ? ['namespaces', namespace] : []), plural, ...(name ? [name] : [])].join('/');
  }

  private store(path: string, object: KubernetesObject): KubernetesObject {
    this.version += 1;
    const stored = { ...object, metadata: { uid: path, ...object.metadata, resourceVersion: `${this.version}` } };
    if (this.controllers && object.apiVersion === 'apps/v1') {
      const replicas = (object as { spec?: { replicas?: number } }).spec?.replicas ?? 1;
      Object.assign(stored, { status: { replicas, readyReplicas: replicas, availableReplicas: replicas, updatedReplicas: replicas } });
    }
    this.objects.set(path, stored);
    return stored;
  }

  private async answer(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
    const method = request.method ?? '';
    const url = new URL(request.url ?? '', 'http://fake');
    const path = url.pathname;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const intercepted = this.intercept(method, path);
    if (intercepted) return intercepted;
    if (path === '/version') return { status: 200, body: { gitVersion: 'v1.34.1' } };
    if (path === '/api' || path === '/apis') return { status: 200, body: this.discovery(path === '/api') };
    if (path.endsWith('/selfsubjectaccessreviews')) return { status: 201, body: { status: { allowed: true } } };
    const [, pod] = /\/pods\/([^/]+)\/log$/.exec(path) ?? [];
    if (pod) return { status: 200, body: this.log(`${pod}/${url.searchParams.get('container')}`, url.searchParams) };

    if (method === 'GET' && KINDS.some(({ plural }) => path.endsWith(`/${plural}`))) {
      return { status: 200, body: { items: this.list(path, url.searchParams.get('labelSelector')) } };
    }
    const existing = this.objects.get(path);
    if (method === 'GET') return existing ? { status: 200, body: existing } : this.missing(path);

    const namespace = /\/namespaces\/([^/]+)\//.exec(path)?.[1];
    if (namespace && !this.objects.has(`/api/v1/namespaces/${namespace}`)) return this.missing(`namespaces "${namespace}"`);
    const dryRun = url.searchParams.has('dryRun');
    if (!dryRun) this.writes.push(`${method} ${path}${url.search}`);
    if (method === 'DELETE') {
      if (!existing) return this.missing(path);
      this.objects.delete(path);
      for (const [key, { metadata }] of this.objects) {
        if (metadata.ownerReferences?.some(({ uid }) => uid === existing.metadata.uid)) this.objects.delete(key);
      }
      return { status: 200, body: {} };
    }
    const body = JSON.parse(text) as KubernetesObject;
    if (method === 'POST') {
      const target = `${path}/${body.metadata.name}`;
      if (this.objects.has(target)) return { status: 409, body: { reason: 'AlreadyExists', message: `${target} already exists` } };
      const created = this.store(target, body);
      this.onCreate(created);
      return { status: 201, body: created };
    }
    const apply = request.headers['content-type'] === 'application/apply-patch+yaml';
    if (existing === undefined && !apply) return this.missing(path);
    const expected = body.metadata?.resourceVersion;
    if (expected && expected !== existing?.metadata.resourceVersion) {
      return { status: 409, body: { reason: 'Conflict', message: 'the object has been modified' } };
    }
    const operations = Array.isArray(body) ? (body as readonly PatchOperation[]) : undefined;
    const next = operations && existing ? patched(existing, operations) : (merged(existing ?? {}, body) as KubernetesObject);
    if (next === undefined) return { status: 422, body: { reason: 'Invalid', message: 'testing value failed' } };
    if (dryRun || isDeepStrictEqual(next, existing)) return { status: 200, body: next };
    return { status: existing ? 200 : 201, body: this.store(path, next) };
  }

  private list(path: string, selector: string | null): KubernetesObject[] {
    const wanted = (selector ?? '')
      .split(',')
      .filter(Boolean)
      .map(term => term.split('='));
    return [...this.objects]
      .filter(([key]) => key.startsWith(`${path}/`) || key.replace(/\/namespaces\/[^/]+/, '').startsWith(`${path}/`))
      .map(([, object]) => object)
      .filter(({ metadata }) => wanted.every(([key = '', value]) => metadata.labels?.[key] === value));
  }

  /** A line a second, from the start of 2026, unless plain lines are asked for. */
  private log(container: string, query: URLSearchParams): string {
    const lines = this.logs.get(container) ?? ['the last line'];
    const since = query.get('sinceTime')?.slice(0, 19) ?? '';
    const timed = lines.map((line, second) => `${new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString()} ${line}`);
    return `${(query.has('timestamps') ? timed.filter(line => line.slice(0, 19) >= since) : lines).join('\n')}\n`;
  }

  private missing(what: string): { status: number; body: unknown } {
    return { status: 404, body: { reason: 'NotFound', message: `${what} not found` } };
  }

  private discovery(core: boolean): unknown {
    const kinds = KINDS.filter(({ apiVersion }) => apiVersion.includes('/') !== core);
    const versions = [...new Set(kinds.map(({ apiVersion }) => apiVersion))];
    return {
      items: versions.map(apiVersion => ({
        metadata: core ? {} : { name: apiVersion.split('/')[0] },
        versions: [
          {
            version: apiVersion.split('/').at(-1),
            resources: kinds
              .filter(type => type.apiVersion === apiVersion)
              .map(type => ({
                resource: type.plural,
                responseKind: { kind: type.kind },
                scope: type.namespaced ? 'Namespaced' : 'Cluster',
                verbs: VERBS,
              })),
          },
        ],
      })),
    };
  }
}
