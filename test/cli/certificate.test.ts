import { X509Certificate } from 'node:crypto';
import { type KeyPair, verify } from '../../cli/certificate';
import { selfSigned } from '../../cli/self-signed';
import { expiryWarning } from '../../cli/tls';

const host = 'studio.localhost';
const now = new Date('2026-01-01T00:00:00Z');
const days = (count: number) => new Date(now.getTime() + count * 86_400_000);
const source = { certificate: 'cert.pem', key: 'key.pem' };

// A key of 4096 bits takes seconds: few are enough for all tests.
let pair: KeyPair;
let other: KeyPair;
beforeAll(async () => {
  [pair, other] = await Promise.all([selfSigned([host], now), selfSigned(['other.localhost'], now)]);
}, 120_000);

test('a certificate of our own is RSA 4096, for one year, for the host, and for servers only', () => {
  const certificate = new X509Certificate(pair.certificate);
  expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(4096);
  expect(certificate.subjectAltName).toBe(`DNS:${host}`);
  expect(new Date(certificate.validTo)).toEqual(days(365));
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  expect(certificate.ca).toBe(false);
  expect(verify(pair, [host], source, now)).toMatchObject({ selfSigned: true, daysLeft: 365, subject: `CN=${host}` });
});

test('a certificate of our own is for all hosts', async () => {
  const both = await selfSigned([host, 'grafana.localhost'], now);
  expect(new X509Certificate(both.certificate).subjectAltName).toBe(`DNS:${host}, DNS:grafana.localhost`);
  expect(() => verify(both, [host, 'grafana.localhost'], source, now)).not.toThrow();
}, 120_000);

describe('a pair is refused', () => {
  test.each<[string, () => Partial<KeyPair>, string | RegExp]>([
    ['when the key is that of another certificate', () => ({ key: other.key }), 'key.pem is not the key of cert.pem'],
    ['for another host', () => other, `cert.pem is for DNS:other.localhost, not for ${host}`],
    [
      'with an issuer that did not issue it',
      () => ({ certificate: pair.certificate + other.certificate }),
      /certificate 2 did not issue certificate 1/,
    ],
    ['without a certificate', () => ({ certificate: '' }), 'cert.pem holds no certificate'],
    ['with a broken certificate', () => ({ certificate: pair.certificate.replace(/MII/, 'AAA') }), 'cert.pem holds a broken certificate'],
    ['without a key', () => ({ key: pair.certificate }), 'key.pem holds no private key that can be read'],
  ])('%s', (_, change, message) => {
    expect(() => verify({ ...pair, ...change() }, [host], source, now)).toThrow(message);
  });

  test('for one of several hosts', () => {
    expect(() => verify(pair, [host, 'grafana.localhost'], source, now)).toThrow(
      expect.objectContaining({
        message: `cert.pem is for DNS:${host}, not for grafana.localhost`,
        remedy: expect.stringContaining(`DNS:${host}, DNS:grafana.localhost`),
      }),
    );
  });

  test('after its time', () => {
    expect(() => verify(pair, [host], source, days(366))).toThrow(/^cert\.pem expired on /);
  });

  test('before its time', () => {
    expect(() => verify(pair, [host], source, days(-1))).toThrow(/^cert\.pem is not valid before /);
  });
});

test('a key that cannot be read is not shown', () => {
  const broken = pair.key.replace('PRIVATE KEY-----\n', 'PRIVATE KEY-----\n!');
  expect(() => verify({ ...pair, key: broken }, [host], source, now)).toThrow(expect.not.stringContaining(pair.key.slice(40, 80)));
});

describe('a warning', () => {
  const facts = (daysLeft: number, selfSignedOne = true) => ({
    subject: '',
    issuer: '',
    selfSigned: selfSignedOne,
    names: '',
    notAfter: '',
    daysLeft,
  });
  test.each([
    [31, true, undefined],
    [30, true, undefined],
    [29, true, 'the certificate expires in 29 day(s): orfeas tls --force makes a new one'],
    [29, false, 'the certificate expires in 29 day(s): orfeas tls --force --cert FILE --key FILE replaces it'],
    [-1, true, 'the certificate has expired: orfeas tls --force makes a new one'],
  ])('%i days before the end', (daysLeft, selfMade, text) => {
    expect(expiryWarning(facts(daysLeft, selfMade))).toBe(text);
  });
});
