import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ApiObject, type App, Yaml } from 'cdk8s';
import type { k8s } from 'cdk8s-plus-28';
import { buildApp } from './app';
import { type EnvironmentName, loadAllSettings, type Settings } from './config';
import { buildGitops, GITOPS, healthPatch } from './gitops';

/** Where synthesis goes first: dist/ is replaced only once all of it is right, and `cdk8s synth` empties its output at the start. */
export const SCRATCH = '.synth';

export interface Synthesis {
  readonly environment: EnvironmentName;
  readonly settings: Settings;
  /** Folder with the manifests and images.txt. */
  readonly folder: string;
  readonly app: App;
}

export const objectsOf = (app: App): ApiObject[] => app.node.findAll().filter(ApiObject.isApiObject);

/** Every image that the pods of an app name, sorted, with the objects whose pods do: `Deployment/web`. */
export function imageUsers(app: App): Map<string, string[]> {
  const users = objectsOf(app)
    .filter(({ kind }) => ['Deployment', 'StatefulSet', 'CronJob'].includes(kind))
    .flatMap(object => {
      const { kind, metadata, spec } = object.toJson();
      const { containers, initContainers = [] }: k8s.PodSpec = (spec.template ?? spec.jobTemplate.spec.template).spec;
      return [...containers, ...initContainers].map(({ image }) => [image as string, `${kind}/${metadata.name}`] as const);
    });
  const images = [...new Set(users.map(([image]) => image))].sort();
  return new Map(images.map(image => [image, [...new Set(users.filter(([used]) => used === image).map(([, user]) => user))]]));
}

export const imagesOf = (app: App): string[] => [...imageUsers(app).keys()];

/**
 * Writes the manifests of every environment below `outdir`.
 *
 * @throws SettingsError before anything is written, when any environment has a fault
 */
export function synthesize(outdir: string): Synthesis[] {
  const syntheses = loadAllSettings().map(settings => {
    const { environment } = settings;
    const folder = join(outdir, environment);
    const app = buildApp(settings, folder);
    app.synth();
    writeFileSync(join(folder, 'images.txt'), `${imagesOf(app).join('\n')}\n`);
    const { argocd, hooks } = buildGitops(settings, app, join(outdir, GITOPS, environment));
    for (const part of [argocd, hooks]) part.synth();
    return { environment, settings, folder, app };
  });
  Yaml.save(join(outdir, GITOPS, 'argocd-cm.patch.yaml'), [healthPatch()]);
  return syntheses;
}

/** Replaces the environments in `dist` by the ones synthesized, each at once. */
export function publish(syntheses: readonly Synthesis[], dist: string): void {
  const folders = syntheses.map(({ folder }) => folder);
  for (const folder of [...folders, ...new Set(folders.map(one => join(dirname(one), GITOPS)))]) {
    const target = join(dist, basename(folder));
    cpSync(folder, `${target}.new`, { recursive: true });
    rmSync(target, { recursive: true, force: true });
    renameSync(`${target}.new`, target);
  }
}
