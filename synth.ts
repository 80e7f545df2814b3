import { copyFileSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ApiObject, type App } from 'cdk8s';
import type { k8s } from 'cdk8s-plus-28';
import { buildApp } from './app';
import { type EnvironmentName, loadAllSettings, type Settings } from './config';
import { buildGitops, GITOPS, HOOKS, healthPatch } from './gitops';
import type { Manifest } from './policy/rules';
import { yaml } from './yaml';

/** Where synthesis goes first: dist/ is replaced only once all of it is right, and `cdk8s synth` empties its output at the start. */
export const SCRATCH = '.synth';

export interface Synthesis {
  readonly environment: EnvironmentName;
  readonly settings: Settings;
  /** Folder with the manifests and images.txt. */
  readonly folder: string;
  readonly manifests: readonly Manifest[];
}

/**
 * The objects of each chart, by its id. As `app.synth()` makes them, which would look through the whole app anew for each chart, and sort by
 * dependencies, of which there are none.
 *
 * @throws Error when a construct finds fault with itself
 */
export function render(app: App): Map<string, Manifest[]> {
  const faults = app.node.findAll().flatMap(({ node }) => node.validate().map(fault => `[${node.path}] ${fault}`));
  if (faults.length > 0) throw new Error(`Validation failed with the following errors:\n  ${faults.join('\n  ')}`);
  return new Map(
    app.node.children.map(({ node }) => [
      node.id,
      node
        .findAll()
        .filter(ApiObject.isApiObject)
        .map(object => object.toJson()),
    ]),
  );
}

/** Every image that the pods of an environment name, sorted, with the objects whose pods do: `Deployment/web`. */
export function imageUsers(manifests: readonly Manifest[]): Map<string, string[]> {
  const users = manifests
    .filter(({ kind }) => ['Deployment', 'StatefulSet', 'CronJob'].includes(kind))
    .flatMap(({ kind, metadata, spec }) => {
      const { containers, initContainers = [] }: k8s.PodSpec = (spec.template ?? spec.jobTemplate.spec.template).spec;
      return [...containers, ...initContainers].map(({ image }) => [image as string, `${kind}/${metadata.name}`] as const);
    });
  const images = [...new Set(users.map(([image]) => image))].sort();
  return new Map(images.map(image => [image, [...new Set(users.filter(([used]) => used === image).map(([, user]) => user))]]));
}

export const imagesOf = (manifests: readonly Manifest[]): string[] => [...imageUsers(manifests).keys()];

function write(app: App, folder: string): Manifest[] {
  mkdirSync(folder, { recursive: true });
  const charts = render(app);
  for (const [id, objects] of charts) writeFileSync(join(folder, `${id}.k8s.yaml`), yaml(objects));
  return [...charts.values()].flat();
}

/** Writes the manifests of one studio, and what Argo CD needs to deploy it. */
export function synthesizeStudio(settings: Settings, outdir: string): Synthesis {
  const { environment } = settings;
  const folder = join(outdir, environment);
  const app = buildApp(settings);
  const manifests = write(app, folder);
  writeFileSync(join(folder, 'images.txt'), `${imagesOf(manifests).join('\n')}\n`);
  const { argocd, hooks } = buildGitops(settings, app);
  const gitops = join(outdir, GITOPS, environment);
  write(argocd, gitops);
  write(hooks, join(gitops, HOOKS));
  return { environment, settings, folder, manifests };
}

/**
 * Writes the manifests of every environment below `outdir`.
 *
 * @throws SettingsError before anything is written, when any environment has a fault
 */
export function synthesize(outdir: string): Synthesis[] {
  const syntheses = loadAllSettings().map(settings => synthesizeStudio(settings, outdir));
  writeFileSync(join(outdir, GITOPS, 'argocd-cm.patch.yaml'), yaml([healthPatch()]));
  return syntheses;
}

/** A tenth of the whole time less than `cpSync`. */
function copyFolder(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const copy = entry.isDirectory() ? copyFolder : copyFileSync;
    copy(join(from, entry.name), join(to, entry.name));
  }
}

/** Replaces the environments in `dist` by the ones synthesized, each at once. */
export function publish(syntheses: readonly Synthesis[], dist: string): void {
  const folders = syntheses.map(({ folder }) => folder);
  for (const folder of [...folders, ...new Set(folders.map(one => join(dirname(one), GITOPS)))]) {
    const target = join(dist, basename(folder));
    copyFolder(folder, `${target}.new`);
    rmSync(target, { recursive: true, force: true });
    renameSync(`${target}.new`, target);
  }
}
