import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import dockerignore from '@balena/dockerignore';
import { buildApp } from '../../app';
import { loadSettings } from '../../config';

const IMAGES = join(__dirname, '../../images');
const read = (path: string): string => readFileSync(join(IMAGES, path), 'utf8');

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(folder, join(entry.parentPath, entry.name)));

const contextOf = (image: string) => dockerignore().add(read(`${image}/.dockerignore`));

/** Patterns of what a Dockerfile copies from its context. */
const copied = (image: string): string[] =>
  [...read(`${image}/Dockerfile`).matchAll(/^COPY (?!.*--from=)(.*)$/gm)].flatMap(([, words = '']) =>
    words
      .split(/\s+/)
      .filter(word => !word.startsWith('--'))
      .slice(0, -1),
  );

describe.each(['web', 'backend'])('The .dockerignore of images/%s', image => {
  const context = contextOf(image);

  test.each(copied(image))('lets in %s, which the Dockerfile copies', source => {
    const pattern = dockerignore().add(source);
    const files = filesOf(join(IMAGES, image)).filter(file => pattern.ignores(file));
    expect(context.filter(files)).not.toEqual([]);
  });

  test('lets in nothing that the Dockerfile does not copy', () => {
    const wanted = dockerignore().add(copied(image));
    const superfluous = context.filter(filesOf(join(IMAGES, image))).filter(file => !wanted.ignores(file));
    expect(superfluous).toEqual([]);
  });

  const admitted = context.filter(filesOf(join(IMAGES, image)));
  const folders = [...new Set(['.', ...admitted.map(dirname)])];
  test.each([
    '.env',
    '.env.production',
    'server.key',
    'tls.pem',
    'id_rsa',
    'kubeconfig',
    '.git/config',
    '.venv/bin/python',
    'node_modules/left/index.js',
    '__pycache__/api.cpython-311.pyc',
    '.pytest_cache/README.md',
    'tests/test_api.py',
    'README.md',
    'docs/guide.md',
    'logs/api.log',
    'outputs/model.glb',
    'api.py~',
  ])('keeps %s out, in whichever folder it lies', name => {
    expect(context.filter(folders.map(folder => join(folder, name)))).toEqual([]);
  });
});

test('The web image is built from the page, its assets and the script that puts them together, and from nothing else', () => {
  expect(
    contextOf('web')
      .filter(filesOf(join(IMAGES, 'web')))
      .sort(),
  ).toEqual([
    'build-page',
    'html/404.html',
    'html/assets/icon.svg',
    'html/assets/studio.js',
    'html/assets/style.css',
    'html/index.html',
    'html/vendor/socket.io.min.js',
  ]);
});

test('The web image runs as the user that the pod names', () => {
  const pod = buildApp(loadSettings('local'))
    .charts.flatMap(chart => chart.toJson())
    .find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'web').spec.template.spec;
  const { runAsUser, runAsGroup } = pod.securityContext;
  expect(read('web/Dockerfile')).toContain(`USER ${runAsUser}:${runAsGroup}\n`);
});

test('The Socket.IO client of the page is the one that is installed', () => {
  const installed = readFileSync(join(__dirname, '../../node_modules/socket.io-client/dist/socket.io.min.js'));
  expect(readFileSync(join(IMAGES, 'web/html/vendor/socket.io.min.js')).equals(installed)).toBe(true);
});

describe.each(['index.html', '404.html'])('The page %s', name => {
  const page = read(`web/html/${name}`);

  test('has no inline script or style, which the Content-Security-Policy refuses', () => {
    expect(page).not.toMatch(/<script(?![^>]*\ssrc=)/);
    expect(page).not.toMatch(/<style|\sstyle=|\son\w+=|javascript:/);
  });

  test('loads only files that are there', () => {
    const files = filesOf(join(IMAGES, 'web/html')).map(file => `/${file}`);
    const loaded = [...page.matchAll(/<(?:script|link|img)[^>]*\s(?:src|href)="([^"]+)"/g)].map(([, path]) => path);
    expect(loaded.length).toBeGreaterThan(0);
    expect(files).toEqual(expect.arrayContaining(loaded));
  });
});

test("The page's script makes no markup from text, and sets no inline style", () => {
  expect(read('web/html/assets/studio.js')).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\.style\b|\beval\(/);
});
