import { constants, createDecipheriv, privateDecrypt } from 'node:crypto';

/** Decrypts a value as the Sealed Secrets controller does, which has the private key. */
export function unseal(sealed: string, label: string, key: string): string {
  const bytes = Buffer.from(sealed, 'base64');
  const end = 2 + bytes.readUInt16BE();
  const sessionKey = privateDecrypt(
    { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: Buffer.from(label) },
    bytes.subarray(2, end),
  );
  const cipher = createDecipheriv('aes-256-gcm', sessionKey, Buffer.alloc(12)).setAuthTag(bytes.subarray(-16));
  return Buffer.concat([cipher.update(bytes.subarray(end, -16)), cipher.final()]).toString();
}
