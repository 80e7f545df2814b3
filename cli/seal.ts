import { constants, createCipheriv, publicEncrypt, randomBytes, X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dump } from 'js-yaml';
import type { Settings } from '../config';
import { sealedFolder } from '../config/secrets';
import { CommandError } from './errors';

const GET_CERTIFICATE = 'get it from the controller: kubeseal --fetch-cert, or GET /v1/cert.pem of its Service';
const SESSION_KEY_BYTES = 32;
/** A session key encrypts one value. */
const NONCE = Buffer.alloc(12);

/**
 * A value as the Sealed Secrets controller reads it: an AES key, encrypted for the controller, and what it encrypts.
 *
 * @param certificate of the controller, PEM
 * @param label that must be the same for decryption: `<namespace>/<name>` of the Secret
 * @returns the length of the encrypted key in two bytes, the encrypted key, the ciphertext and its tag, in base64
 */
export function seal(certificate: string, label: string, value: string | Buffer): string {
  const sessionKey = randomBytes(SESSION_KEY_BYTES);
  const key = publicEncrypt(
    { key: certificate, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: Buffer.from(label) },
    sessionKey,
  );
  const cipher = createCipheriv('aes-256-gcm', sessionKey, NONCE);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(key.length);
  return Buffer.concat([length, key, cipher.update(value), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

/** @throws CommandError when it is no certificate, has no RSA key, or has expired. */
export function checkSealing(pem: string, file: string): void {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (error) {
    throw new CommandError(`${file} is no certificate in PEM`, GET_CERTIFICATE, { cause: error });
  }
  if (certificate.publicKey.asymmetricKeyType !== 'rsa')
    throw new CommandError(`The certificate in ${file} has no RSA key`, GET_CERTIFICATE);
  if (new Date(certificate.validTo) < new Date())
    throw new CommandError(`The certificate in ${file} expired ${certificate.validTo}`, GET_CERTIFICATE);
}

/** @throws CommandError when there is no such file, or it has no certificate to seal with. */
export async function readSealing(file: string | undefined): Promise<string> {
  if (file === undefined) throw new CommandError('Sealing needs --cert, the certificate of the controller', GET_CERTIFICATE);
  const certificate = await readFile(file, 'utf8').catch(error => {
    throw new CommandError(`--cert ${file} cannot be read: ${error.code}`, 'give the path of a PEM file', { cause: error });
  });
  checkSealing(certificate, file);
  return certificate;
}

/** Where git has a Secret, encrypted. */
export const sealedFile = (settings: Settings, name: string): string => join(sealedFolder(settings), `${name}.yaml`);

/** Writes what the controller makes a Secret of. */
export async function writeSealed(
  settings: Settings,
  name: string,
  values: Readonly<Record<string, string | Buffer>>,
  certificate: string,
): Promise<void> {
  const { namespace } = settings;
  // The studio's data outlives a prune, and so must what opens it; a Secret that is there is taken over.
  const annotations = Object.fromEntries(
    ['skip-set-owner-references', 'managed'].map(each => [`sealedsecrets.bitnami.com/${each}`, 'true']),
  );
  const object = {
    apiVersion: 'bitnami.com/v1alpha1',
    kind: 'SealedSecret',
    metadata: { name, namespace },
    spec: {
      encryptedData: Object.fromEntries(
        Object.entries(values).map(([key, value]) => [key, seal(certificate, `${namespace}/${name}`, value)]),
      ),
      template: { metadata: { name, namespace, annotations }, type: 'Opaque' },
    },
  };
  await mkdir(sealedFolder(settings), { recursive: true });
  await writeFile(sealedFile(settings, name), dump(object));
}
