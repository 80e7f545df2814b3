import http from 'node:http';
import { Client, checkoutWith, host, list, namespace, orfeas, until } from './support';

/** The status of a request without TLS. */
const plain = () =>
  new Promise<number | undefined>((resolve, reject) =>
    http
      .get({ host: '127.0.0.1', path: '/', headers: { host } }, answer => {
        answer.resume();
        resolve(answer.statusCode);
      })
      .on('error', reject),
  );

describe('in the dialect of ingress-nginx', () => {
  const changed = checkoutWith('config/local.ts', { 'edge: { namespaces': "edge: { dialect: 'ingress-nginx', namespaces" });
  const deploy = ['deploy', '--env', 'local', '--skip-build'];
  beforeAll(async () => {
    const { code, stderr } = await orfeas(deploy, changed.folder);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  });
  afterAll(async () => {
    changed.remove();
    await Client.removeAll();
    await orfeas(deploy);
  });

  test("the other dialect's objects are gone", async () => {
    expect(await list('-n', namespace, 'middlewares.traefik.io')).toEqual([]);
    expect((await list('-n', namespace, 'ingresses')).map(({ spec }) => spec.ingressClassName)).toEqual(['nginx', 'nginx']);
  });

  test('HTTP is redirected, the eleventh to thirtieth API call is answered 429, and a picture becomes a mesh', async () => {
    await until('the redirect', 30, async () => [301, 308].includes((await plain()) ?? 0));
    const client = await Client.create('dialect');
    const answers = await client.send('GET', `/api/job-status/${'0'.repeat(32)}`, 30);
    expect(answers.filter(({ status }) => status === 404).length).toBe(10);
    expect(answers.filter(({ status }) => status === 429).length).toBe(20);
    const { code, stderr } = await orfeas(['smoke', '--env', 'local']);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  });
});
