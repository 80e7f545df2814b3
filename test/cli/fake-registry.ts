import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const INDEX = 'application/vnd.oci.image.index.v1+json';
export const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

const digestOf = (content: string): string => `sha256:${createHash('sha256').update(content).digest('hex')}`;

/** A registry of the OCI distribution protocol, in memory and over HTTP. */
export class FakeRegistry {
  /** Manifests and blobs by digest. */
  private readonly content = new Map<string, { type: string; body: string }>();
  private readonly tags = new Map<string, string>();
  private readonly server = createServer((request, response) => this.answer(request, response));
  /** Where asked for, only who has logged in as `user:password` gets a token. */
  login = false;
  /** Serves other bytes than were stored. */
  tampered = false;
  readonly asked: string[] = [];

  async start(): Promise<void> {
    await new Promise<void>(resolve => this.server.listen(0, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    await new Promise(resolve => {
      this.server.close(resolve);
      this.server.closeAllConnections();
    });
  }

  get host(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Puts an image for some platforms under a tag. */
  push(tag: string, platforms: readonly string[], content = tag): string {
    const manifests = platforms.map(platform => {
      const [os, architecture] = platform.split('/');
      const config = this.store('application/json', { os, architecture, content });
      return { digest: this.store(MANIFEST, { config: { digest: config } }), platform: { os, architecture } };
    });
    const [only] = manifests;
    const digest = manifests.length === 1 && only ? only.digest : this.store(INDEX, { manifests });
    this.tags.set(tag, digest);
    return digest;
  }

  private store(type: string, value: object): string {
    const body = JSON.stringify(value);
    this.content.set(digestOf(body), { type, body });
    return digestOf(body);
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', `http://${this.host}`);
    this.asked.push(`${request.method} ${url.pathname}`);
    const authorization = request.headers.authorization ?? '';
    if (url.pathname === '/token') {
      const known = authorization === `Basic ${Buffer.from('user:password').toString('base64')}`;
      response.writeHead(this.login && !known ? 401 : 200).end(JSON.stringify({ token: url.searchParams.get('scope') }));
      return;
    }
    // What crane would do, asked by a stand-in.
    const copy = url.searchParams.get('copy');
    if (copy) {
      this.tags.set(url.pathname.slice(1), copy);
      response.end();
      return;
    }
    const [, path = '', kind, name = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(url.pathname) ?? [];
    if (authorization !== `Bearer repository:${path}:pull`) {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${this.host}/token",service="fake"` }).end();
      return;
    }
    const digest = kind === 'blobs' || name.startsWith('sha256:') ? name : (this.tags.get(`${path}:${name}`) ?? '');
    const found = this.content.get(digest);
    if (!found) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': found.type, 'docker-content-digest': digest });
    response.end(request.method === 'HEAD' ? undefined : `${found.body}${this.tampered ? ' ' : ''}`);
  }
}
