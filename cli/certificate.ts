import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { CommandError } from './errors';

export const WARN_DAYS = 30;
export const DAY_MILLISECONDS = 86_400_000;

/** A certificate chain, leaf first, and the private key of the leaf, both as PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateFacts {
  readonly subject: string;
  readonly issuer: string;
  readonly selfSigned: boolean;
  readonly names: string;
  readonly notAfter: string;
  readonly daysLeft: number;
}

function parseChain(pem: string, source: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  const remedy = 'give a PEM file: -----BEGIN CERTIFICATE-----, the certificate of the host first';
  try {
    const [leaf, ...rest] = blocks.map(block => new X509Certificate(block));
    if (leaf) return [leaf, ...rest];
  } catch (error) {
    throw new CommandError(`${source} holds a broken certificate`, remedy, { cause: error });
  }
  throw new CommandError(`${source} holds no certificate`, remedy);
}

function parseKey(pem: string, source: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new CommandError(
      `${source} holds no private key that can be read`,
      'give a PEM file without a passphrase: -----BEGIN PRIVATE KEY-----',
      {
        cause: error,
      },
    );
  }
}

/** What a certificate says of itself, its fitness aside. */
export function inspect(certificate: string, source: string, now = new Date()): CertificateFacts {
  const [leaf] = parseChain(certificate, source);
  return {
    subject: leaf.subject,
    issuer: leaf.issuer,
    selfSigned: leaf.subject === leaf.issuer && leaf.verify(leaf.publicKey),
    names: leaf.subjectAltName ?? '(none)',
    notAfter: new Date(leaf.validTo).toISOString(),
    daysLeft: Math.floor((new Date(leaf.validTo).getTime() - now.getTime()) / DAY_MILLISECONDS),
  };
}

/**
 * Checks that a server can prove to be each of the hosts with the pair.
 *
 * @param source - Where each part comes from, for messages.
 * @throws CommandError naming what does not fit.
 */
export function verify(
  pair: KeyPair,
  hosts: readonly string[],
  source = { certificate: 'The certificate', key: 'The key' },
  now = new Date(),
): CertificateFacts {
  const chain = parseChain(pair.certificate, source.certificate);
  const [leaf] = chain;
  if (!leaf.checkPrivateKey(parseKey(pair.key, source.key))) {
    throw new CommandError(
      `${source.key} is not the key of ${source.certificate}`,
      'give the key with which the certificate was asked for',
    );
  }
  const broken = chain.findIndex((certificate, index) => {
    const issuer = chain[index + 1];
    return issuer !== undefined && !(certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
  });
  if (broken >= 0) {
    throw new CommandError(
      `${source.certificate} is out of order: certificate ${broken + 2} did not issue certificate ${broken + 1}`,
      'put the certificate of the host first, then each issuer of the one before',
    );
  }
  const uncovered = hosts.filter(host => leaf.checkHost(host) === undefined);
  if (uncovered.length > 0) {
    throw new CommandError(
      `${source.certificate} is for ${leaf.subjectAltName ?? leaf.subject}, not for ${uncovered.join(', ')}`,
      `have one issued for ${hosts.map(host => `DNS:${host}`).join(', ')}; orfeas tls --force makes a self-signed one`,
    );
  }
  if (new Date(leaf.validFrom) > now)
    throw new CommandError(`${source.certificate} is not valid before ${leaf.validFrom}`, 'wait, or set the clock right');
  if (new Date(leaf.validTo) <= now) throw new CommandError(`${source.certificate} expired on ${leaf.validTo}`, 'give one that is valid');
  return inspect(pair.certificate, source.certificate, now);
}
