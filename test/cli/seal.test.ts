import { constants, createDecipheriv, privateDecrypt } from 'node:crypto';
import { checkSealing, seal } from '../../cli/seal';
import { selfSigned } from '../../cli/self-signed';

const LABEL = 'orfeas/orfeas-redis';
let pair: Awaited<ReturnType<typeof selfSigned>>;
beforeAll(async () => {
  pair = await selfSigned(['sealed-secrets.example.org']);
}, 60_000);

/** As the controller does it. */
function open(sealed: string, label: string): string {
  const bytes = Buffer.from(sealed, 'base64');
  const end = 2 + bytes.readUInt16BE();
  const sessionKey = privateDecrypt(
    { key: pair.key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: Buffer.from(label) },
    bytes.subarray(2, end),
  );
  const cipher = createDecipheriv('aes-256-gcm', sessionKey, Buffer.alloc(12)).setAuthTag(bytes.subarray(-16));
  return Buffer.concat([cipher.update(bytes.subarray(end, -16)), cipher.final()]).toString();
}

test('a sealed value is what the holder of the key reads, and nobody else', () => {
  const sealed = seal(pair.certificate, LABEL, Buffer.from('a password'));
  expect(open(sealed, LABEL)).toBe('a password');
  expect(Buffer.from(sealed, 'base64').toString('latin1')).not.toContain('a password');
});
test('a sealed value cannot be moved to another Secret', () => {
  expect(() => open(seal(pair.certificate, LABEL, Buffer.from('a password')), 'orfeas/other')).toThrow();
});
test('the same value is never sealed to the same bytes', () => {
  expect(seal(pair.certificate, LABEL, Buffer.from('x'))).not.toBe(seal(pair.certificate, LABEL, Buffer.from('x')));
});
test('what is no certificate is refused, with where to get one', () => {
  expect(() => checkSealing(pair.key, 'key.pem')).toThrow('key.pem is no certificate in PEM');
  expect(() => checkSealing(pair.certificate, 'cert.pem')).not.toThrow();
});
