import { readFile } from 'node:fs/promises';
import { loadSettings } from '../../config';
import { hosts } from '../../config/derive';
import { type CertificateFacts, verify } from '../certificate';
import { Cluster } from '../cluster';
import { CommandError } from '../errors';
import { ensureNamespace } from '../namespace';
import type { CommonOptions, Outcome } from '../outcome';
import { selfSigned } from '../self-signed';
import { runSteps } from '../steps';
import { expiryWarning, readPair, refuseReplacement, writePair } from '../tls';

export interface TlsOptions extends CommonOptions {
  readonly cert?: string;
  readonly key?: string;
  readonly force?: boolean;
}

export interface TlsResult {
  readonly environment: string;
  readonly namespace: string;
  readonly certificate: CertificateFacts;
  readonly warning?: string;
}

const read = (option: string, path: string): Promise<string> =>
  readFile(path, 'utf8').catch(error => {
    throw new CommandError(`${option} ${path} cannot be read: ${error.code}`, 'give the path of a PEM file', { cause: error });
  });

/** Makes the certificate that the Ingress serves, or takes one that you bring. */
export async function tls(options: TlsOptions, signal: AbortSignal): Promise<Outcome<TlsResult>> {
  const { cert, key, force = false, json } = options;
  if ((cert === undefined) !== (key === undefined)) {
    throw new CommandError('--cert and --key belong together', 'give both, or neither to have a self-signed certificate made');
  }
  const settings = loadSettings(options.env);
  const { environment, namespace } = settings;
  const names = hosts(settings);
  const { source } = settings.edge.certificate;
  if (source !== 'secret' && !force) {
    throw new CommandError(
      `cert-manager owns the certificate of ${environment} (edge.certificate.source is ${source})`,
      'let it do its work, or pass --force to put another in its place',
    );
  }
  const brought =
    cert !== undefined && key !== undefined ? { certificate: await read('--cert', cert), key: await read('--key', key) } : undefined;
  if (brought) verify(brought, names, { certificate: cert as string, key: key as string });
  const cluster = Cluster.connect(options.context);
  if (!force && (await readPair(cluster, namespace))) throw refuseReplacement(namespace);

  let facts: CertificateFacts | undefined;
  const step = {
    name: 'tls',
    title: brought ? `Take ${cert}` : `Make an RSA key of 4096 bits and a self-signed certificate for ${names.join(', ')}`,
    run: async () => {
      const pair = brought ?? (await selfSigned(names));
      signal.throwIfAborted();
      await ensureNamespace(cluster, settings);
      facts = await writePair(cluster, settings, pair, force);
      return 'written, read back, verified';
    },
  };
  await runSteps([step], { json, signal });
  const certificate = facts as CertificateFacts;
  const warning = expiryWarning(certificate);
  return {
    ok: true,
    result: { environment, namespace, certificate, ...(warning && { warning }) },
    text: [
      ...(warning ? [`warning: ${warning}`] : []),
      `Secret/orfeas-tls: ${certificate.subject}, for ${certificate.names}, valid until ${certificate.notAfter} (${certificate.daysLeft} days)`,
    ].join('\n'),
  };
}
