import { buildApp } from '../app';
import { type EnvironmentName, parseSettings, type Settings, type SettingsInput } from '../config';
import { local } from '../config/local';
import { production } from '../config/production';
import { staging } from '../config/staging';
import type { Manifest } from '../policy/rules';

const inputs: Record<EnvironmentName, SettingsInput> = { local, staging, production };

/** An environment's settings with some of them replaced, section by section. */
export const settingsOf = (name: EnvironmentName, changes: Partial<SettingsInput> = {}): Settings =>
  parseSettings({ ...inputs[name], ...changes });

export const manifestsOf = (settings: Settings): Manifest[] => buildApp(settings).charts.flatMap(chart => chart.toJson());

/** @throws Error when there is none, so that a test need not look. */
export function find(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find(manifest => manifest.kind === kind && manifest.metadata.name === name);
  if (!found) throw new Error(`no ${kind}/${name}`);
  return found;
}
