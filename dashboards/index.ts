import type { Dashboard, DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Settings } from '../config/schema';
import { backend } from './backend';
import { backup } from './backup';
import { capacity } from './capacity';
import { gpu } from './gpu';
import { overview } from './overview';
import { redis } from './redis';
import type { DashboardName } from './studio-dashboard';
import { web } from './web';

const builders: Readonly<Record<DashboardName, (settings: Settings) => DashboardBuilder>> = {
  overview,
  backend,
  gpu,
  redis,
  web,
  capacity,
  backup,
};

/** Numbers panels and letters queries by their order, as Grafana's editor does. */
function named(dashboard: Dashboard): Dashboard {
  for (const [index, panel] of (dashboard.panels ?? []).entries()) {
    panel.id = index + 1;
    if (!('targets' in panel)) continue;
    for (const [position, target] of (panel.targets ?? []).entries()) Object.assign(target, { refId: String.fromCharCode(65 + position) });
  }
  // The SDK's default hides links in a menu.
  for (const link of dashboard.links ?? []) delete link.placement;
  return dashboard;
}

/** Grafana's dashboards, by the names of their files. */
export const dashboards = (settings: Settings): Record<string, Dashboard> =>
  Object.fromEntries(Object.entries(builders).map(([name, build]) => [`orfeas-${name}.json`, named(build(settings).build())]));
