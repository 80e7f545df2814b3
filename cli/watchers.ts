import type { Settings } from '../config';
import { operatorStack } from '../config/derive';
import { CommandError } from './errors';
import type { ForwardedService } from './forward';

/** What watches the studio. */
export const watchers = ['grafana', 'prometheus'] as const;
export type Watcher = (typeof watchers)[number];

/**
 * The Service of a watcher: the studio's own, or that of the cluster's stack.
 *
 * @throws CommandError when nothing watches the studio.
 */
export function watcherService(settings: Settings, watcher: Watcher): ForwardedService {
  const { environment, namespace, monitoring } = settings;
  if (!monitoring.metrics) {
    throw new CommandError(
      `Nothing watches the studio of ${environment}: monitoring.metrics is false`,
      `set it to true in config/${environment}.ts, and run orfeas deploy --env ${environment}`,
    );
  }
  const stack = operatorStack(settings);
  if (stack === undefined) return { namespace, name: watcher, remedy: `orfeas deploy --env ${environment}` };
  const setting = `${watcher}Service` as const;
  return {
    namespace: stack.namespace,
    name: stack[setting],
    remedy: `name the Service of the cluster's own in monitoring.stack.namespace and monitoring.stack.${setting}`,
  };
}
