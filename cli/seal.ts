import { constants, createCipheriv, publicEncrypt, randomBytes, X509Certificate } from 'node:crypto';
import { CommandError } from './errors';

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
export function seal(certificate: string, label: string, value: Buffer): string {
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
  const remedy = 'get it from the controller: kubeseal --fetch-cert, or GET /v1/cert.pem of its Service';
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (error) {
    throw new CommandError(`${file} is no certificate in PEM`, remedy, { cause: error });
  }
  if (certificate.publicKey.asymmetricKeyType !== 'rsa') throw new CommandError(`The certificate in ${file} has no RSA key`, remedy);
  if (new Date(certificate.validTo) < new Date())
    throw new CommandError(`The certificate in ${file} expired ${certificate.validTo}`, remedy);
}
