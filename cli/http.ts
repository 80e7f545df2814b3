import https from 'node:https';
import tls from 'node:tls';
import { CommandError } from './errors';

const TIMEOUT_MILLISECONDS = 30_000;

export interface StudioProps {
  /** Name under which people reach the studio. */
  readonly host: string;
  /** Certificates to trust besides the well-known authorities, as PEM. */
  readonly trusted?: string;
  /** Where to connect instead of where DNS says: HOST or HOST:PORT. */
  readonly address?: string;
  /** What opens the API, where it needs a key. */
  readonly apiKey?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** @throws CommandError unless it is HOST, HOST:PORT, or [IPv6]:PORT. */
function parseAddress(address: string): { host: string; port: number } {
  try {
    const { hostname, port } = new URL(`https://${address}`);
    if (hostname !== '') return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 443) };
  } catch {}
  throw new CommandError(`--address is "${address}"`, 'write HOST or HOST:PORT, such as 127.0.0.1:8443');
}

/** Connects to one place, whatever the name; the certificate must still be the name's. */
class StudioAgent extends https.Agent {
  constructor(
    private readonly target: { host?: string; port?: number },
    trusted: string | undefined,
  ) {
    // A certificate that we were told to trust need not come with its authority's.
    const trust = trusted ? { ca: [...tls.rootCertificates, trusted], allowPartialTrustChain: true } : {};
    super({ keepAlive: true, ...trust });
  }

  override createConnection(
    ...[options, callback]: Parameters<https.Agent['createConnection']>
  ): ReturnType<https.Agent['createConnection']> {
    return super.createConnection({ ...options, ...this.target }, callback);
  }
}

/** The studio as its users reach it: over HTTPS, through the Ingress, with a certificate that is checked. */
export class Studio {
  readonly url: string;
  readonly agent: https.Agent;
  private readonly authorization: Readonly<Record<string, string>>;

  constructor({ host, trusted, address, apiKey }: StudioProps) {
    this.authorization = apiKey ? { Authorization: `Bearer ${apiKey}` } : {};
    this.url = `https://${host}`;
    // Browsers and curl resolve *.localhost to the own machine; Node asks DNS.
    const target = address ? parseAddress(address) : /(^|\.)localhost$/.test(host) ? { host: '127.0.0.1' } : {};
    this.agent = new StudioAgent(target, trusted);
  }

  /** @throws CommandError when nothing answers, or its certificate is not the host's. */
  request(method: string, path: string, { headers = {}, body }: { headers?: Record<string, string>; body?: Buffer } = {}): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      const request = https.request(
        `${this.url}${path}`,
        { agent: this.agent, method, headers: { ...this.authorization, ...headers }, timeout: TIMEOUT_MILLISECONDS },
        response => {
          const chunks: Buffer[] = [];
          response.on('data', chunk => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }));
        },
      );
      request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MILLISECONDS / 1000} s`)));
      request.on('error', reject);
      request.end(body);
    }).catch(error => {
      throw explain(error, `${method} ${this.url}${path}`);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

function explain(error: NodeJS.ErrnoException, what: string): CommandError {
  const code = error.code ?? '';
  const remedy = /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS/.test(code)
    ? 'the Ingress serves another certificate than the Secret orfeas-tls: orfeas status shows the one that it should; controllers may take some seconds to pick it up'
    : code === 'ENOTFOUND' || code === 'EAI_AGAIN'
      ? 'let DNS name the address of the Ingress, or pass it as --address'
      : 'see that the Ingress controller runs and its port is reached from here, or pass another --address';
  return new CommandError(`${what} failed: ${error.message || code}`, remedy, { cause: error });
}
