import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiObject, type App } from 'cdk8s';
import type { k8s } from 'cdk8s-plus-28';
import { buildApp } from './app';
import { type EnvironmentName, loadAllSettings, type Settings } from './config';

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

/** Every image that the pods of an app name, sorted. */
export function imagesOf(app: App): string[] {
  const specs = objectsOf(app)
    .filter(({ kind }) => ['Deployment', 'StatefulSet', 'CronJob'].includes(kind))
    .map(object => object.toJson().spec)
    .map((spec): k8s.PodSpec => (spec.template ?? spec.jobTemplate.spec.template).spec);
  const containers = specs.flatMap(({ containers, initContainers = [] }) => [...containers, ...initContainers]);
  return [...new Set(containers.map(({ image }) => image as string))].sort();
}

/**
 * Writes the manifests of every environment below `outdir`.
 *
 * @throws SettingsError before anything is written, when any environment has a fault
 */
export function synthesize(outdir: string): Synthesis[] {
  return loadAllSettings().map(settings => {
    const { environment } = settings;
    const folder = join(outdir, environment);
    const app = buildApp(settings, folder);
    app.synth();
    writeFileSync(join(folder, 'images.txt'), `${imagesOf(app).join('\n')}\n`);
    return { environment, settings, folder, app };
  });
}

/** Replaces the environments in `dist` by the ones synthesized, each at once. */
export function publish(syntheses: readonly Synthesis[], dist: string): void {
  for (const { environment, folder } of syntheses) {
    const target = join(dist, environment);
    cpSync(folder, `${target}.new`, { recursive: true });
    rmSync(target, { recursive: true, force: true });
    renameSync(`${target}.new`, target);
  }
}
