import { checkSealing, readSealing, seal } from '../../cli/seal';
import { selfSigned } from '../../cli/self-signed';
import { unseal } from './unseal';

const LABEL = 'orfeas/orfeas-redis';
let pair: Awaited<ReturnType<typeof selfSigned>>;
beforeAll(async () => {
  pair = await selfSigned(['sealed-secrets.example.org']);
}, 60_000);

const open = (sealed: string, label: string): string => unseal(sealed, label, pair.key);

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
test('nothing is sealed without a certificate', async () => {
  await expect(readSealing(undefined)).rejects.toThrow('Sealing needs --cert, the certificate of the controller');
  await expect(readSealing('/no/such.pem')).rejects.toThrow('--cert /no/such.pem cannot be read: ENOENT');
});
