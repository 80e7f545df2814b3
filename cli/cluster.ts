import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { Exec, KubeConfig, PortForward, type V1Status } from '@kubernetes/client-node';
import type { WebSocket } from 'ws';
import { CommandError } from './errors';
import type { KubernetesObject, Metadata } from './objects';

/** Owner of the fields that the manifests set. */
export const FIELD_MANAGER = 'orfeas';
const TIMEOUT_MILLISECONDS = 60_000;
/** Of a request that the API server wants to have again later; kubectl tries as often. */
const ATTEMPTS = 10;
const MAX_CONNECTIONS = 16;
/** What waits for its way to a forwarded port, and how often it is looked whether it has gone. */
const PENDING_BYTES = 4 * 2 ** 20;
const PACE_MILLISECONDS = 5;
/** Lists all kinds at once, where plain discovery takes a request for each API group. */
const AGGREGATED_DISCOVERY = ['v2', 'v2beta1']
  .map(version => `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`)
  .join(',');
/** Leaves out contents, which no prune has to see: some of them are secret. */
const METADATA_ONLY = 'application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadataList';

/** A kind that the cluster serves. */
export interface ResourceType {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

/** What names an object of any kind. */
export interface Reference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined };
}

function remedyOf(status: number, message: string): string | undefined {
  if (/being terminated/.test(message)) return 'somebody deletes the namespace: wait until it is gone, then run this again';
  if (/resize/.test(message)) return 'its StorageClass cannot grow a volume: set the size in storage back to what it was';
  if (status === 403) return 'ask for this permission, or choose another user with --context';
  return undefined;
}

/** The cluster's refusal of a request. */
export class ApiError extends CommandError {
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
  ) {
    super(message, remedyOf(status, message));
    this.name = 'ApiError';
  }
}

/** The cluster does not answer at all. */
class Unreachable extends CommandError {}

/** Whether the same question may be answered a little later. */
export const isPassing = (error: unknown): boolean => error instanceof Unreachable || (error instanceof ApiError && error.status >= 500);

/** `undefined` where the cluster says that there is no such thing. */
const orAbsent = (error: unknown): undefined => {
  if (error instanceof ApiError && error.status === 404) return undefined;
  throw error;
};

interface Discovery {
  readonly items: {
    readonly metadata?: { readonly name?: string };
    readonly versions: {
      readonly version: string;
      readonly resources?: { resource: string; responseKind?: { kind: string }; scope: string; verbs: string[] }[];
    }[];
  }[];
}

interface Call {
  readonly query?: Record<string, string>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
}

/** A port that a pod listens on. */
export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

export interface Write {
  /** The cluster checks and answers as if it did it, and changes nothing. */
  readonly dryRun?: boolean | undefined;
}

/** Of a JSON patch; its paths are JSON pointers. */
export type PatchOperation =
  | { readonly op: 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/**
 * The cluster that the kubeconfig names. Objects travel as written: the client library's own object API renames fields
 * that are words of JavaScript, and so loses the `from` of a NetworkPolicy.
 */
export class Cluster {
  readonly context: string;
  private readonly server: string;
  private agent: https.RequestOptions['agent'];
  private types: Promise<ResourceType[]> | undefined;

  constructor(private readonly config: KubeConfig) {
    this.context = config.getCurrentContext();
    this.server = config.getCurrentCluster()?.server ?? '';
  }

  /** @throws CommandError when there is no kubeconfig, or it has no such context. */
  static connect(context?: string): Cluster {
    const config = new KubeConfig();
    try {
      config.loadFromDefault();
    } catch (error) {
      throw new CommandError(
        `The kubeconfig cannot be read: ${(error as Error).message}`,
        'mend the file that KUBECONFIG names, or ~/.kube/config',
        {
          cause: error,
        },
      );
    }
    const names = config.getContexts().map(({ name }) => name);
    if (context !== undefined) {
      if (!names.includes(context)) {
        throw new CommandError(`The kubeconfig has no context "${context}"`, `use one of ${names.join(', ') || '(it has none)'}`);
      }
      config.setCurrentContext(context);
    }
    const server = config.getCurrentCluster()?.server;
    if (server === undefined) {
      throw new CommandError(
        'The kubeconfig names no current cluster',
        `choose one with --context: ${names.join(', ') || '(it has none)'}`,
      );
    }
    if (server === 'http://localhost:8080') {
      throw new CommandError('There is no kubeconfig', 'point KUBECONFIG at the file of your cluster, or write ~/.kube/config');
    }
    return new Cluster(config);
  }

  /** Such as `v1.34.1`. */
  async version(): Promise<string> {
    return (await this.json<{ gitVersion: string }>('GET', '/version')).gitVersion;
  }

  /** All kinds that the cluster serves, the preferred version of each group first. */
  resourceTypes(): Promise<ResourceType[]> {
    this.types ??= this.discover();
    return this.types;
  }

  async resourceType(apiVersion: string, kind: string): Promise<ResourceType | undefined> {
    return (await this.resourceTypes()).find(type => type.apiVersion === apiVersion && type.kind === kind);
  }

  /** `undefined` when there is no such object. */
  async get<T = KubernetesObject>(reference: Reference): Promise<T | undefined> {
    return this.json<T>('GET', await this.path(reference)).catch(orAbsent);
  }

  async list<T = KubernetesObject>(apiVersion: string, kind: string, namespace?: string, query: Record<string, string> = {}): Promise<T[]> {
    const path = await this.collection({ apiVersion, kind, namespace });
    return (await this.json<{ items: T[] | null }>('GET', path, { query })).items ?? [];
  }

  /** Names and labels of objects, without their contents. */
  async listMetadata({ apiVersion, kind }: ResourceType, namespace: string, labelSelector: string): Promise<Metadata[]> {
    const path = await this.collection({ apiVersion, kind, namespace });
    const { items } = await this.json<{ items: { metadata: Metadata }[] | null }>('GET', path, {
      query: { labelSelector },
      accept: METADATA_ONLY,
    });
    return (items ?? []).map(({ metadata }) => metadata);
  }

  /** @throws ApiError with status 409 when the object exists. */
  async create<T extends Reference>(object: T): Promise<T> {
    const { apiVersion, kind, metadata } = object;
    const path = await this.collection({ apiVersion, kind, namespace: metadata.namespace });
    return this.json('POST', path, { query: { fieldManager: FIELD_MANAGER }, body: object });
  }

  /** Server-side apply: makes the object, or changes the fields that the manifest sets. */
  async apply(object: KubernetesObject, { dryRun }: Write = {}): Promise<KubernetesObject> {
    return this.json('PATCH', await this.path(object), {
      query: { fieldManager: FIELD_MANAGER, force: 'true', ...(dryRun && { dryRun: 'All' }) },
      body: object,
      contentType: 'application/apply-patch+yaml',
    });
  }

  /** JSON merge patch. With a resourceVersion in it, status 409 when somebody else was faster. */
  async merge(reference: Reference, patch: object, fieldManager = FIELD_MANAGER): Promise<void> {
    await this.send('PATCH', await this.path(reference), {
      query: { fieldManager },
      body: patch,
      contentType: 'application/merge-patch+json',
    });
  }

  /** JSON patch: all of its operations, or none. */
  async patch(reference: Reference, operations: readonly PatchOperation[], { dryRun }: Write = {}): Promise<KubernetesObject> {
    return this.json('PATCH', await this.path(reference), {
      query: { fieldManager: FIELD_MANAGER, ...(dryRun && { dryRun: 'All' }) },
      body: operations,
      contentType: 'application/json-patch+json',
    });
  }

  /** Deletes the object and what it owns; fine when it is gone already. */
  async delete(reference: Reference): Promise<void> {
    await this.send('DELETE', await this.path(reference), { query: { propagationPolicy: 'Background' } }).catch(orAbsent);
  }

  /** Whether the user may do it. */
  async may(verb: string, { apiVersion, plural }: ResourceType, namespace?: string): Promise<boolean> {
    const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : '';
    const review = await this.json<{ status: { allowed: boolean } }>('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { verb, group, resource: plural, namespace } },
      },
    });
    return review.status.allowed;
  }

  /** The last lines that a container wrote, or that its previous run wrote. */
  async logs(
    namespace: string,
    pod: string,
    container: string,
    { lines, previous }: { lines: number; previous: boolean },
  ): Promise<string[]> {
    const query = { container, tailLines: `${lines}`, previous: `${previous}` };
    const text = await this.send('GET', `/api/v1/namespaces/${namespace}/pods/${pod}/log`, { query, accept: '*/*' });
    return text.trimEnd().split('\n').filter(Boolean);
  }

  /**
   * Each line that a container writes, and wrote, with its time, until the container ends or the connection breaks.
   *
   * @param sinceTime - As the time of a line, or nothing for the first line. Lines of the same second come again.
   * @throws ApiError when the container has not started.
   */
  async *follow(
    namespace: string,
    pod: string,
    container: string,
    { sinceTime, signal }: { sinceTime: string; signal: AbortSignal },
  ): AsyncGenerator<{ time: string; text: string }> {
    const query = { container, follow: 'true', timestamps: 'true', ...(sinceTime && { sinceTime }) };
    const response = await this.open('GET', `/api/v1/namespaces/${namespace}/pods/${pod}/log`, { query, accept: '*/*', signal });
    response.setEncoding('utf8');
    const { statusCode = 0 } = response;
    if (statusCode >= 400) throw refusal(statusCode, await readText(response));
    let rest = '';
    for await (const chunk of response) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [time = '', text = ''] = line.split(/ (.*)/s);
        yield { time, text };
      }
    }
  }

  /**
   * Joins a local connection to a port of a pod; each ends with the other.
   *
   * @param onRefusal - Told why, when the pod does not take the connection.
   * @throws CommandError when the cluster does not lead there.
   */
  async forward({ namespace, pod, port }: PodPort, connection: Socket, onRefusal: (error: CommandError) => void): Promise<void> {
    const refusals = new Writable({
      write: (chunk: Buffer, _, done) => {
        // The channel opens with its port number, of which the client leaves nothing.
        if (chunk.length > 0) onRefusal(new CommandError(`Port ${port} of Pod/${pod} takes no connection: ${chunk.toString().trim()}`));
        done();
      },
    });
    const forwarding = new PortForward(this.config).portForward(namespace, pod, [port], connection, refusals, connection);
    const channel = (await forwarding.catch((event: { message?: string }) => {
      const status = Number(/server response: (\d+)/.exec(event.message ?? '')?.[1]);
      if (status === 403)
        throw new ApiError(403, 'Forbidden', `You may not forward ports to pods of ${namespace} (get and create pods/portforward)`);
      throw new CommandError(
        `Port ${port} of Pod/${pod} cannot be forwarded: ${event.message}`,
        'see that its node is well: kubectl get nodes',
      );
    })) as WebSocket;
    keepPace(channel, connection);
    channel.once('close', () => connection.end());
    connection.once('close', () => channel.close());
    if (connection.destroyed) channel.close();
  }

  /**
   * Runs a command in a container.
   *
   * @returns What it printed.
   * @throws ApiError with status 404 when there is no such container; CommandError when the command fails.
   */
  async exec(
    { namespace, pod, container }: { readonly namespace: string; readonly pod: string; readonly container: string },
    command: readonly string[],
  ): Promise<string> {
    const output = new PassThrough();
    const errors = new PassThrough().resume();
    const printed = text(output);
    const status = await new Promise<V1Status>((resolve, reject) => {
      new Exec(this.config).exec(namespace, pod, container, [...command], output, errors, null, false, resolve).then(
        channel => (channel as unknown as WebSocket).once('close', () => reject(new Unreachable(`The connection to Pod/${pod} broke off`))),
        (event: { message?: string }) =>
          reject(execRefusal(Number(/server response: (\d+)/.exec(event.message ?? '')?.[1]), namespace, pod)),
      );
    });
    output.end();
    if (status.status === 'Success') return printed;
    throw new CommandError(`${command[0]} in ${container} of Pod/${pod} fails: ${status.message}`, 'look at the log of the container');
  }

  private async discover(): Promise<ResourceType[]> {
    const parts = await Promise.all(['/api', '/apis'].map(path => this.json<Discovery>('GET', path, { accept: AGGREGATED_DISCOVERY })));
    return parts.flatMap(({ items }) =>
      items.flatMap(({ metadata, versions }) =>
        versions.flatMap(({ version, resources = [] }) =>
          resources.map(({ resource, responseKind, scope, verbs }) => ({
            apiVersion: metadata?.name ? `${metadata.name}/${version}` : version,
            kind: responseKind?.kind ?? '',
            plural: resource,
            namespaced: scope === 'Namespaced',
            verbs,
          })),
        ),
      ),
    );
  }

  private async collection({
    apiVersion,
    kind,
    namespace,
  }: {
    apiVersion: string;
    kind: string;
    namespace?: string | undefined;
  }): Promise<string> {
    const type = await this.resourceType(apiVersion, kind);
    if (type === undefined) throw new CommandError(`The cluster knows no ${kind} of ${apiVersion}`, 'install what brings this kind');
    const root = `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}`;
    return type.namespaced && namespace !== undefined ? `${root}/namespaces/${namespace}/${type.plural}` : `${root}/${type.plural}`;
  }

  private async path({ apiVersion, kind, metadata }: Reference): Promise<string> {
    return `${await this.collection({ apiVersion, kind, namespace: metadata.namespace })}/${metadata.name}`;
  }

  private async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    return JSON.parse(await this.send(method, path, call)) as T;
  }

  private async send(method: string, path: string, call: Call): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      const { status, text, retryAfter } = await this.exchange(method, path, call);
      if (status === 401) throw new CommandError(`The cluster "${this.context}" does not accept the credentials`, 'log in to it again');
      if (status < 400) return text;
      // The API server asks for patience while it is busy, or makes room for a new kind of object.
      if (retryAfter === undefined || attempt === ATTEMPTS) throw refusal(status, text);
      await sleep(Number(retryAfter) * 1000);
    }
  }

  private async exchange(
    method: string,
    path: string,
    call: Call,
  ): Promise<{ status: number; text: string; retryAfter: string | undefined }> {
    const response = await this.open(method, path, call);
    const text = await readText(response).catch(error => {
      throw this.unreachable(error);
    });
    return { status: response.statusCode ?? 0, text, retryAfter: response.headers['retry-after'] };
  }

  private async open(
    method: string,
    path: string,
    { query = {}, body, contentType = 'application/json', accept = 'application/json', signal }: Call,
  ): Promise<http.IncomingMessage> {
    const options: https.RequestOptions = {};
    try {
      await this.config.applyToHTTPSOptions(options);
    } catch (error) {
      throw new CommandError(
        `No credentials for the cluster "${this.context}": ${(error as Error).message}`,
        'log in to the cluster, or use another --context',
        {
          cause: error,
        },
      );
    }
    if (this.agent === undefined) {
      this.agent = options.agent;
      (this.agent as https.Agent).maxSockets = MAX_CONNECTIONS;
    }
    const url = new URL(`${this.server.replace(/\/$/, '')}${path}?${new URLSearchParams(query)}`);
    signal?.throwIfAborted();
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = { accept, ...(payload !== undefined && { 'content-type': contentType, 'content-length': Buffer.byteLength(payload) }) };
    return new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = (url.protocol === 'http:' ? http : https).request(
        url,
        { ...options, agent: this.agent, method, headers: { ...options.headers, ...headers }, timeout: TIMEOUT_MILLISECONDS },
        resolve,
      );
      // Node's own handling of a signal raises an error that nobody can catch when the answer has just come in full.
      const cancel = (): void => {
        request.destroy();
      };
      signal?.addEventListener('abort', cancel);
      request.once('close', () => signal?.removeEventListener('abort', cancel));
      request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MILLISECONDS / 1000} s`)));
      request.on('error', reject);
      request.end(payload);
    }).catch(error => {
      throw this.unreachable(error);
    });
  }

  private unreachable(error: NodeJS.ErrnoException): Unreachable {
    return new Unreachable(
      `The cluster "${this.context}" at ${this.server} cannot be reached: ${error.message || error.code}`,
      `see that it runs (kubectl --context ${this.context} get nodes), or choose another with --context`,
      { cause: error },
    );
  }
}

function execRefusal(status: number, namespace: string, pod: string): ApiError {
  if (status === 403) return new ApiError(403, 'Forbidden', `You may not run commands in pods of ${namespace} (get and create pods/exec)`);
  return new ApiError(status || 404, '', `No command can be run in Pod/${pod}`);
}

/** The client of forwarded ports takes from each side as fast as that can give; what the other cannot take would pile up in memory. */
function keepPace(channel: WebSocket, connection: Socket): void {
  channel.on('message', () => {
    if (!connection.writableNeedDrain || channel.isPaused) return;
    channel.pause();
    connection.once('drain', () => channel.resume());
  });
  connection.once('close', () => channel.resume());
  connection.on('data', async () => {
    if (channel.bufferedAmount < PENDING_BYTES || connection.isPaused()) return;
    connection.pause();
    while (channel.bufferedAmount >= PENDING_BYTES && !connection.destroyed) await sleep(PACE_MILLISECONDS);
    connection.resume();
  });
}

async function readText(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

function refusal(status: number, text: string): ApiError {
  try {
    const { reason = '', message = text } = JSON.parse(text) as { reason?: string; message?: string };
    return new ApiError(status, reason, message);
  } catch {
    return new ApiError(status, '', `The cluster answers ${status}: ${text.slice(0, 200)}`);
  }
}
