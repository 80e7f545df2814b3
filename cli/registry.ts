import { createHash } from 'node:crypto';
import { loginTo } from './credentials';
import { CommandError } from './errors';

const TIMEOUT_MILLISECONDS = 30_000;

const INDEXES = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'];
const MANIFESTS = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json'];

interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** An index of one manifest a platform, or a manifest of the only one. */
interface Manifest {
  readonly manifests?: readonly { readonly platform?: Platform }[];
  readonly config?: { readonly digest: string };
}

const platformName = ({ os, architecture, variant }: Platform): string => [os, architecture, ...(variant ? [variant] : [])].join('/');

const isLoopback = (registry: string): boolean => /^(localhost|127\.0\.0\.1)(:\d+)?$/.test(registry);

/** Images are named `registry/path:tag`. */
function parts(image: string): { registry: string; path: string; tag: string } {
  const [, registry = '', path = '', tag = ''] = /^([^/]+)\/(.+):([^:/]+)$/.exec(image) ?? [];
  return { registry, path, tag };
}

/** Parameters of a challenge such as `Bearer realm="https://auth.example.org/token",service="registry"`. */
const parameters = (challenge: string): Record<string, string> =>
  Object.fromEntries([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));

/** Asks registries by the OCI distribution protocol, with the logins of this machine. Nothing is ever written to one. */
export class RegistryClient {
  private readonly authorizations = new Map<string, string>();

  constructor(private readonly signal: AbortSignal) {}

  /**
   * The digest that a tag names; nothing where there is no such image.
   *
   * @throws CommandError when the registry does not answer, or refuses to.
   */
  async digestOf(image: string): Promise<string | undefined> {
    const { tag } = parts(image);
    const response = await this.ask(image, `manifests/${tag}`, 'HEAD');
    if (!response) return undefined;
    const digest = response.headers.get('docker-content-digest');
    if (digest) return digest;
    // Some registries tell no digest, but it is that of the bytes.
    const whole = await this.ask(image, `manifests/${tag}`);
    return whole && `sha256:${sha256(new Uint8Array(await whole.arrayBuffer()))}`;
  }

  /**
   * The platforms that an image is there for; nothing where the registry has no such digest.
   *
   * @throws CommandError when the registry does not answer, refuses to, or serves other bytes than the digest's.
   */
  async platformsOf(image: string, digest: string): Promise<string[] | undefined> {
    const { manifests, config } = (await this.json<Manifest>(image, 'manifests', digest)) ?? {};
    if (manifests) return manifests.flatMap(({ platform }) => (platform ? [platformName(platform)] : []));
    const platform = config && (await this.json<Platform>(image, 'blobs', config.digest));
    return platform && [platformName(platform)];
  }

  private async json<Content>(image: string, kind: 'manifests' | 'blobs', digest: string): Promise<Content | undefined> {
    const response = await this.ask(image, `${kind}/${digest}`);
    if (!response) return undefined;
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (`sha256:${sha256(bytes)}` !== digest)
      throw new CommandError(`${parts(image).registry} serves other bytes for ${digest} of ${image}`, 'do not use this registry');
    return JSON.parse(new TextDecoder().decode(bytes));
  }

  private async ask(image: string, what: string, method: 'GET' | 'HEAD' = 'GET'): Promise<Response | undefined> {
    const { registry, path } = parts(image);
    const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
    const url = `${isLoopback(registry) ? 'http' : 'https'}://${host}/v2/${path}/${what}`;
    const key = `${registry}/${path}`;
    const send = (): Promise<Response> => {
      const authorization = this.authorizations.get(key);
      const headers = { accept: [...INDEXES, ...MANIFESTS].join(', '), ...(authorization && { authorization }) };
      return this.fetch(registry, url, { method, headers });
    };
    let response = await send();
    if (response.status === 401 && !this.authorizations.has(key)) {
      this.authorizations.set(key, await this.authorize(registry, path, response.headers.get('www-authenticate') ?? ''));
      response = await send();
    }
    if (response.status === 404) return undefined;
    if (!response.ok) throw refusal(registry, path, response.status);
    return response;
  }

  /** Answers a challenge: by a token where the registry names who gives it, by the login itself elsewhere. */
  private async authorize(registry: string, path: string, challenge: string): Promise<string> {
    const login = await loginTo(registry, this.signal);
    const { realm, service } = parameters(challenge);
    if (!/^bearer /i.test(challenge) || realm === undefined) {
      if (login === undefined) throw refusal(registry, path, 401);
      return `Basic ${login}`;
    }
    const url = new URL(realm);
    if (url.protocol !== 'https:' && !isLoopback(url.host))
      throw new CommandError(`${registry} sends those who log in to ${realm}, which is not encrypted`, 'use a registry with HTTPS');
    if (service) url.searchParams.set('service', service);
    url.searchParams.set('scope', `repository:${path}:pull`);
    const response = await this.fetch(registry, url, { headers: login ? { authorization: `Basic ${login}` } : {} });
    if (!response.ok) throw refusal(registry, path, response.status);
    const { token, access_token } = (await response.json()) as { token?: string; access_token?: string };
    return `Bearer ${token ?? access_token}`;
  }

  private fetch(registry: string, url: string | URL, init: RequestInit): Promise<Response> {
    const signal = AbortSignal.any([this.signal, AbortSignal.timeout(TIMEOUT_MILLISECONDS)]);
    return fetch(url, { ...init, signal }).catch(error => {
      this.signal.throwIfAborted();
      const reason = error.cause?.code ?? error.cause?.message ?? error.message;
      throw new CommandError(`${registry} does not answer: ${reason}`, 'see that this machine reaches the registry', { cause: error });
    });
  }
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function refusal(registry: string, path: string, status: number): CommandError {
  if (status === 401 || status === 403)
    return new CommandError(`${registry} does not show ${path} to you (${status})`, `log in, such as by docker login ${registry}`);
  if (status === 429)
    return new CommandError(
      `${registry} was asked too often (429)`,
      `wait, or log in, such as by docker login ${registry}, to be let ask more`,
    );
  return new CommandError(`${registry} answers ${status} for ${path}`, 'try again later');
}
