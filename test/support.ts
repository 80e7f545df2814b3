import { buildApp } from '../app';
import { type EnvironmentName, parseSettings, type Settings, type SettingsInput } from '../config';
import { local } from '../config/local';
import { production } from '../config/production';
import { staging } from '../config/staging';
import { buildGitops } from '../gitops';
import type { Manifest } from '../policy/rules';

const inputs: Record<EnvironmentName, SettingsInput> = { local, staging, production };

/** An environment's settings with some of them replaced, section by section. */
export const settingsOf = (name: EnvironmentName, changes: Partial<SettingsInput> = {}): Settings =>
  parseSettings({ ...inputs[name], ...changes });

export const manifestsOf = (settings: Settings): Manifest[] => buildApp(settings).charts.flatMap(chart => chart.toJson());

/** What Argo CD has: its own objects, and those that it makes at each sync. */
export function gitopsOf(settings: Settings): { readonly argocd: Manifest[]; readonly hooks: Manifest[] } {
  const { argocd, hooks } = buildGitops(settings, buildApp(settings));
  const [own, made] = [argocd, hooks].map(app => app.charts.flatMap(chart => chart.toJson()));
  return { argocd: own as Manifest[], hooks: made as Manifest[] };
}

/** @throws Error when there is none, so that a test need not look. */
export function find(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find(manifest => manifest.kind === kind && manifest.metadata.name === name);
  if (!found) throw new Error(`no ${kind}/${name}`);
  return found;
}
