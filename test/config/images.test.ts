import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { movableImages } from '../../config/derive';
import {
  baseImages,
  imageBuild,
  inRegistry,
  ownImage,
  ownImages,
  pinnedUpstream,
  type UpstreamName,
  upstreamImage,
  upstreamImages,
} from '../../config/images';
import { find, manifestsOf, settingsOf } from '../support';

const DIGEST = `sha256:${'a'.repeat(64)}`;
jest.mock('../../config/images.lock.json', () => ({
  ...jest.requireActual('../../config/images.lock.json'),
  own: { 'registry.test/orfeas/web:1.0.0': { digest: `sha256:${'a'.repeat(64)}`, source: 'registry.test' } },
}));

const names = Object.keys(upstreamImages) as UpstreamName[];
const production = (images: object) =>
  settingsOf('production', { images: { registry: 'registry.test/orfeas', version: '1.0.0', ...images } });

describe.each(names)('The lock of %s', name => {
  test('has a version, a digest, and who says so', () => {
    const { tag, digest, source } = upstreamImages[name];
    expect(tag).not.toMatch(/^(latest|stable|edge)$/);
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(source).toMatch(/\w/);
  });
});

test("others' images are named by tag and digest, in local by tag alone", () => {
  const { digest } = upstreamImages.redis;
  expect(upstreamImage(production({}).images, 'redis')).toBe(`docker.io/library/redis:${upstreamImages.redis.tag}@${digest}`);
  expect(upstreamImage(settingsOf('local').images, 'redis')).toBe(`docker.io/library/redis:${upstreamImages.redis.tag}`);
});

test('our own have the digest of the very version that was locked, and another version has none', () => {
  expect(ownImage(production({}).images, 'web')).toBe(`registry.test/orfeas/web:1.0.0@${DIGEST}`);
  expect(ownImage(production({ version: '1.0.1' }).images, 'web')).toBe('registry.test/orfeas/web:1.0.1');
  expect(ownImage(production({ registry: 'registry.test/other' }).images, 'web')).toBe('registry.test/other/web:1.0.0');
});

test('production is told which of our images its tag alone names', () => {
  expect(movableImages(production({})).map(({ message }) => message.split(' ')[0])).toEqual([
    'registry.test/orfeas/backend:1.0.0',
    'registry.test/orfeas/backup:1.0.0',
  ]);
});

describe('With a mirror', () => {
  const settings = production({ mirror: 'mirror.test:5000/site', pullSecrets: ['mirror-login'] });
  const pods = manifestsOf(settings)
    .filter(({ kind }) => ['Deployment', 'StatefulSet', 'CronJob'].includes(kind))
    .map(({ spec }) => (spec.template ?? spec.jobTemplate.spec.template).spec);

  test('every pod takes every image from there, with the login to it', () => {
    expect(pods.length).toBeGreaterThan(5);
    for (const { containers, initContainers = [], imagePullSecrets } of pods) {
      for (const { image } of [...containers, ...initContainers]) expect(image).toMatch(/^mirror\.test:5000\/site\//);
      expect(imagePullSecrets).toEqual([{ name: 'mirror-login' }]);
    }
  });

  test('digests stay', () => {
    const redis = find(manifestsOf(settings), 'StatefulSet', 'redis').spec.template.spec.containers[0].image;
    expect(redis).toBe(`mirror.test:5000/site/library/redis:${upstreamImages.redis.tag}@${upstreamImages.redis.digest}`);
    expect(ownImage(settings.images, 'web')).toBe(`mirror.test:5000/site/orfeas/web:1.0.0@${DIGEST}`);
  });

  test('no two images have the same name there', () => {
    const images = [...names.map(name => pinnedUpstream(name).image), ...ownImages.map(name => `registry.test/orfeas/${name}:1.0.0`)];
    expect(new Set(images.map(image => inRegistry('mirror.test', image))).size).toBe(images.length);
  });

  test('images are built under their own names, from where their bases come from', () => {
    expect(imageBuild(settings, 'backup')).toMatchObject({
      image: 'registry.test/orfeas/backup:1.0.0',
      buildArgs: { RESTIC_IMAGE: `docker.io/restic/restic:${upstreamImages.restic.tag}@${upstreamImages.restic.digest}` },
    });
  });
});

test('the backend is built for what it computes on', () => {
  expect(imageBuild(production({}), 'backend').buildArgs).toEqual({
    BASE_IMAGE: `docker.io/nvidia/cuda:${upstreamImages.cuda.tag}@${upstreamImages.cuda.digest}`,
    REQUIREMENTS: 'cuda',
  });
  expect(imageBuild(settingsOf('local'), 'backend').buildArgs).toEqual({
    BASE_IMAGE: `docker.io/library/debian:${upstreamImages.debian.tag}`,
    REQUIREMENTS: 'cpu',
  });
});

describe.each(ownImages)('The Dockerfile of %s', name => {
  const dockerfile = readFileSync(join(__dirname, `../../images/${name}/Dockerfile`), 'utf8');
  const defaults = Object.fromEntries(
    [...dockerfile.matchAll(/^ARG (\w+_IMAGE)=(\S+)$/gm)].map(([, argument, image]) => [argument, image]),
  );

  test('begins from images that a build names by the lock', () => {
    const stages = [...dockerfile.matchAll(/^FROM \S+ AS (\S+)$/gm)].map(([, stage]) => stage);
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base as string).filter(base => !stages.includes(base));
    for (const base of bases) expect(base).toMatch(/^\$\{\w+_IMAGE\}$/);
  });

  test('names the same ones by tag when nothing else is said', () => {
    const bases = baseImages(production({}), name);
    expect(defaults).toEqual(Object.fromEntries(Object.entries(bases).map(([argument, base]) => [argument, pinnedUpstream(base).image])));
  });
});

test('pip installs the backend by hashes alone, but for PyTorch, which has an index of its own', () => {
  const read = (name: string): string => readFileSync(join(__dirname, `../../images/backend/requirements/${name}.txt`), 'utf8');
  for (const name of ['cpu', 'cuda']) {
    const packages = read(name)
      .split(/^(?=[a-z])/m)
      .filter(entry => entry.includes('=='));
    expect(packages.length).toBeGreaterThan(40);
    for (const entry of packages) expect(entry).toMatch(/^\S+==\S+ \\\n {4}--hash=sha256:[0-9a-f]{64}/);
    expect(read(name)).not.toMatch(/index-url/);
  }
  expect(
    read('torch')
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#')),
  ).toEqual([
    '--index-url https://download.pytorch.org/whl/cu118',
    expect.stringMatching(/^torch==[\d.]+\+cu118$/),
    expect.stringMatching(/^torchvision==[\d.]+\+cu118$/),
  ]);
});
