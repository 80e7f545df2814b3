import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Yaml } from 'cdk8s';
import { loadAll } from 'js-yaml';
import { buildApp } from '../../app';
import { environmentNames, loadSettings } from '../../config';
import { synthesize } from '../../synth';

const DIST = join(__dirname, '../../dist');

/** Every file below a folder, by its path there. */
function filesOf(folder: string): Record<string, string> {
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  return Object.fromEntries(
    paths
      .map(({ parentPath, name }) => [join(parentPath, name).slice(folder.length + 1), readFileSync(join(parentPath, name), 'utf8')])
      .sort(),
  );
}

const scratch = mkdtempSync(join(tmpdir(), 'orfeas-'));
afterAll(() => rmSync(scratch, { recursive: true }));

test('dist is what the settings say; npm start renews it', () => {
  synthesize(scratch);
  const made = filesOf(scratch);
  const committed = filesOf(DIST);
  expect(Object.keys(committed)).toEqual(Object.keys(made));
  for (const [path, text] of Object.entries(made)) expect({ path, text: committed[path] }).toEqual({ path, text });
});

test('a second synthesis gives the same bytes', () => {
  synthesize(join(scratch, 'again'));
  expect(filesOf(join(scratch, 'again'))).toEqual(filesOf(DIST));
});

describe.each(environmentNames)('dist/%s', name => {
  const files = filesOf(join(DIST, name));

  test('it is what cdk8s makes of the same app', () => {
    for (const chart of buildApp(loadSettings(name)).charts)
      expect(files[`${chart.node.id}.k8s.yaml`]).toBe(Yaml.stringify(...chart.toJson()));
  });

  test('its files are numbered in the order of applying', () => {
    expect(Object.keys(files)).toEqual([
      '00-namespace.k8s.yaml',
      '10-policies.k8s.yaml',
      '20-storage.k8s.yaml',
      '30-redis.k8s.yaml',
      '40-backend.k8s.yaml',
      '50-web.k8s.yaml',
      '60-edge.k8s.yaml',
      '70-monitoring.k8s.yaml',
      '80-backup.k8s.yaml',
      'images.txt',
    ]);
  });

  test('images.txt names every image, one a line', () => {
    const named = Object.values(files).flatMap(text => [...text.matchAll(/^[\s-]+image: (\S+)$/gm)].map(([, image]) => image));
    expect(files['images.txt']).toBe(`${[...new Set(named)].sort().join('\n')}\n`);
  });

  test('every document is an object that YAML 1.2 reads as well', () => {
    for (const [path, text] of Object.entries(files).filter(([path]) => path.endsWith('.yaml'))) {
      for (const document of loadAll(text))
        expect({ path, document }).toEqual({ path, document: expect.objectContaining({ kind: expect.any(String) }) });
    }
  });
});
