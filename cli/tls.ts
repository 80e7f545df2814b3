import type { Settings } from '../config';
import { hosts } from '../config/derive';
import { TLS_SECRET } from '../config/secrets';
import { type CertificateFacts, inspect, type KeyPair, verify, WARN_DAYS } from './certificate';
import type { Cluster } from './cluster';
import { CommandError } from './errors';
import type { Secret } from './objects';
import { operatorLabels } from './secrets';

const SOURCE = `Secret/${TLS_SECRET}`;
/** Names of the parts, for messages. */
export const CERTIFICATE = { certificate: `${SOURCE} (tls.crt)`, key: `${SOURCE} (tls.key)` };

const referenceTo = (namespace: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: TLS_SECRET, namespace } });

const decode = (value: string | undefined): string => Buffer.from(value ?? '', 'base64').toString();
const encode = (value: string): string => Buffer.from(value).toString('base64');

/** The pair that the Ingress serves; `undefined` when there is none. */
export async function readPair(cluster: Cluster, namespace: string): Promise<KeyPair | undefined> {
  const secret = await cluster.get<Secret>(referenceTo(namespace));
  return secret && { certificate: decode(secret.data?.['tls.crt']), key: decode(secret.data?.['tls.key']) };
}

/** What the certificate that the Ingress serves says; `undefined` when there is none. */
export async function readCertificate(cluster: Cluster, namespace: string): Promise<CertificateFacts | undefined> {
  const pair = await readPair(cluster, namespace);
  return pair && inspect(pair.certificate, SOURCE);
}

export const refuseReplacement = (namespace: string): CommandError =>
  new CommandError(`${SOURCE} exists in ${namespace} already`, 'pass --force to replace it');

/** What a client must trust besides the well-known authorities to reach the studio. */
export async function trustedCertificates(cluster: Cluster, { namespace, edge }: Settings): Promise<{ trusted?: string }> {
  // Let's Encrypt's staging authority is one that nobody knows.
  const known = edge.certificate.source === 'lets-encrypt' && edge.certificate.server === 'production';
  const pair = known ? undefined : await readPair(cluster, namespace);
  return pair ? { trusted: pair.certificate } : {};
}

/**
 * Writes the pair, reads it back, and checks that the Ingress can serve it.
 *
 * @throws CommandError when there is a certificate already and `replace` is not set.
 */
export async function writePair(cluster: Cluster, settings: Settings, pair: KeyPair, replace: boolean): Promise<CertificateFacts> {
  const { namespace } = settings;
  const reference = referenceTo(namespace);
  const secret = {
    ...reference,
    metadata: { ...reference.metadata, labels: operatorLabels(namespace) },
    type: 'kubernetes.io/tls',
    data: { 'tls.crt': encode(pair.certificate), 'tls.key': encode(pair.key) },
  };
  const exists = (await cluster.get(reference)) !== undefined;
  if (exists && !replace) throw refuseReplacement(namespace);
  if (exists) await cluster.merge(reference, { data: secret.data });
  else await cluster.create(secret);
  const written = await readPair(cluster, namespace);
  if (written === undefined) throw new CommandError(`${SOURCE} is gone right after it was written`, 'see what else manages it');
  return verify(written, hosts(settings), CERTIFICATE);
}

/** A sentence when the certificate must be renewed soon. */
export const expiryWarning = ({ daysLeft, selfSigned }: CertificateFacts): string | undefined => {
  if (daysLeft >= WARN_DAYS) return undefined;
  const when = daysLeft < 0 ? 'has expired' : `expires in ${daysLeft} day(s)`;
  return `the certificate ${when}: ${selfSigned ? 'orfeas tls --force makes a new one' : 'orfeas tls --force --cert FILE --key FILE replaces it'}`;
};
